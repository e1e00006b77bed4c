"""Weights that others have trained, as the start of a chain of stages.

`package`: from packages that the catalogue of models names, with their checksums and licences. `torchvision`: from
torchvision's own site, on machines that can reach it. The output layer starts anew unless its classes are the same, or
those that are known are to be kept.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torchvision.models
from torch import Tensor

from mien.errors import MienError, require
from mien.models.catalogue import find_model
from mien.models.fer2013 import LABELS
from mien.models.fetch import fetch
from mien.models.mini_xception import convert_mini_xception
from trainer.models import face_expression_net
from trainer.models.face_expression_net import read_face_expression_net
from trainer.models.network import Network, Outputs
from trainer.models.transfer import transfer

KNOWN_EXPRESSIONS = {
    "mini_xception": LABELS,
    "face_expression_net": face_expression_net.LABELS,
    "expression_pair": LABELS,
}
"""Classes that weights of a package tell, in the order of their outputs, by architecture."""
_IMAGENET_TERMS = "ImageNet's pictures are for research; what that means for weights is not said."
_TORCHVISION = ("alexnet", "vgg19", "resnet50", "resnet152", "mobilenet_v2")


class StartWeights(NamedTuple):
    """Where a network starts.

    Attributes:
        lineage: what the weights were trained on: "IN" (ImageNet, ILSVRC 2012), "FER2013", "face-api.js's pictures"
            (which its author does not name), or several, joined as in `trainer.stages.material.JOINT`.
        terms: whose they are and under which licence, as far as anybody states it.
    """

    lineage: str
    terms: str


def load_start_weights(
    network: Network, start: Literal["package", "torchvision"], keep_classes: bool = False
) -> StartWeights:
    """Load them into a network.

    Args:
        network: changed in place.
        start: where they come from.
        keep_classes: as for `transfer`.

    Raises:
        MienError: there are none for this architecture, they cannot be fetched here, or no class that they know is to
            be kept.
    """
    name = network.architecture.name
    if keep_classes and (start != "package" or name not in KNOWN_EXPRESSIONS):
        raise MienError(
            f"The weights of {name} from {start} know no expressions that could be kept",
            f"Leave out keep_classes, or take one of these from a package: {', '.join(KNOWN_EXPRESSIONS)}",
        )
    if start == "torchvision":
        if name not in _TORCHVISION:
            raise _none(name, "torchvision", _TORCHVISION)
        _copy_in_order(network, _of_torchvision(name, _download(name)))
        return StartWeights("IN", f"{name}, IMAGENET1K_V1: torchvision, BSD-3-Clause. {_IMAGENET_TERMS}")
    if name not in _PACKAGES:
        raise _none(name, "a package of the catalogue", _PACKAGES)
    package = _PACKAGES[name]
    package.load(network, keep_classes)
    models = [find_model(model) for model in package.models]
    terms = " ".join(f"{model.source}: {model.licence}. {model.licence_note}" for model in models)
    return StartWeights(package.lineage, terms)


def _load_mobilenet_v2(network: Network, _: bool) -> None:
    _copy_in_order(network, _of_torchvision("mobilenet_v2", _read("mobilenet_v2_imagenet")))


def _load_efficientnet_lite0(network: Network, _: bool) -> None:
    tensors = _read("efficientnet_lite0_imagenet").items()
    _copy_in_order(network, [tensor for name, tensor in tensors if not name.startswith("_fc.")])


def _load_mini_xception(network: Network, keep_classes: bool) -> None:
    own = _mini_xception()
    _copy_in_order(network, own.convolutions, "parts.conv")
    if not network.architecture.hidden:  # the package has none
        _transfer_classes(network, own.weight, own.bias, LABELS, keep_classes)


def _load_face_expression_net(network: Network, keep_classes: bool) -> None:
    own = _face_expression_net()
    _copy_in_order(network, own.convolutions, "parts.conv")
    _transfer_classes(network, own.weight, own.bias, face_expression_net.LABELS, keep_classes)


def _load_expression_pair(network: Network, keep_classes: bool) -> None:
    """Each logit is the sum of both networks' own."""
    # On renders their embeddings are 4.4 and 15.4 long; the square of that decides how far a learner's step goes.
    one, other = _mini_xception(), _scaled(_face_expression_net(), 1 / 4)
    _copy_in_order(network, [*one.convolutions, *other.convolutions], "parts.conv")
    places = [face_expression_net.LABELS.index(label) for label in LABELS]
    weight, bias = torch.cat([one.weight, other.weight[places]], 1), one.bias + other.bias[places]
    _transfer_classes(network, weight, bias, LABELS, keep_classes)


class _Tensors(NamedTuple):
    """A network's weights: up to the embedding, in order; of its last layer (classes, E) and (classes,)."""

    convolutions: list[Tensor]
    weight: Tensor
    bias: Tensor


def _mini_xception() -> _Tensors:
    """By way of the ONNX file whose constants stand in the order of its layers."""
    onnx = require("onnx", "robot")
    split = convert_mini_xception(fetch("mini_xception"))
    constants = onnx.load_model_from_string(split.backbone).graph.initializer
    arrays = [onnx.numpy_helper.to_array(constant) for constant in constants if constant.name not in _NOT_LEARNED]
    convolutions = [torch.tensor(np.asarray(array)) for array in arrays]
    return _Tensors(convolutions, torch.tensor(split.weight), torch.tensor(split.bias))


def _face_expression_net() -> _Tensors:
    files = fetch("face_expression_net_index"), fetch("face_expression_net")
    *convolutions, weight, bias = read_face_expression_net(*files)
    return _Tensors(convolutions, weight, bias)


def _scaled(own: _Tensors, factor: float) -> _Tensors:
    """The same answers of face-api.js's network from an embedding that is so many times as large.

    Its last block rectifies and adds up what four convolutions give: all of that is scaled where the first one and the
    constants of the others are.
    """
    before, (depthwise, pointwise, bias, *others) = own.convolutions[:-12], own.convolutions[-12:]
    others = [tensor * factor if tensor.dim() == 1 else tensor for tensor in others]
    convolutions = [*before, depthwise, pointwise * factor, bias * factor, *others]
    return _Tensors(convolutions, own.weight / factor, own.bias)


def _transfer_classes(
    network: Network, weight: Tensor, bias: Tensor, labels: tuple[str, ...], keep_classes: bool
) -> None:
    head = {"parts.output.classes.weight": weight, "parts.output.classes.bias": bias}
    transfer(network, {**network.state_dict(), **head}, Outputs(labels=labels), keep_classes)


class _Package(NamedTuple):
    """Weights in packages: names in the catalogue, how they are loaded, what they were trained on."""

    models: tuple[str, ...]
    load: Callable[[Network, bool], None]
    lineage: str


_NOT_LEARNED = ("flat_shape", "shifts", "embedding_shape")
_FACE_API = "face-api.js's pictures"
_PACKAGES = {
    **dict.fromkeys(
        ("mini_xception", "mini_xception_dense"), _Package(("mini_xception",), _load_mini_xception, "FER2013")
    ),
    "face_expression_net": _Package(("face_expression_net",), _load_face_expression_net, _FACE_API),
    "expression_pair": _Package(
        ("mini_xception", "face_expression_net"), _load_expression_pair, f"FER2013 + {_FACE_API}"
    ),
    "mobilenet_v2": _Package(("mobilenet_v2_imagenet",), _load_mobilenet_v2, "IN"),
    "efficientnet_lite0": _Package(("efficientnet_lite0_imagenet",), _load_efficientnet_lite0, "IN"),
}

PACKAGE_LINEAGES = frozenset(package.lineage for package in _PACKAGES.values())
"""What weights of packages were trained on, as `StartWeights` says it."""


def _read(model: str) -> dict[str, Tensor]:
    """A file of the catalogue; without running what a pickle may hold."""
    tensors: dict[str, Tensor] = torch.load(fetch(model), map_location="cpu", weights_only=True)
    return tensors


def _download(name: str) -> dict[str, Tensor]:
    """Fetch torchvision's first ImageNet weights, those of the papers' time; they are kept in torch's cache."""
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where torch says that it downloads
            tensors: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except OSError as error:  # URLError is one
        raise MienError(
            f"torchvision's weights of {name} cannot be fetched ({error})",
            f"Connect to the network, or copy {file.name} from another machine into {file.parent}; packages have "
            f"weights (package instead of torchvision) for: {', '.join(_PACKAGES)}",
        ) from error
    except (RuntimeError, EOFError) as error:  # not whole, or another checksum than its name says
        raise MienError(f"{file} is damaged ({error})", "Delete it and try again") from error
    return tensors


def _of_torchvision(name: str, tensors: dict[str, Tensor]) -> list[Tensor]:
    """All but the last layer's, in the order of torchvision's network, whatever the order of the file."""
    network = torchvision.models.get_model(name)
    network.load_state_dict(tensors)
    *learned, _, _ = _learned(network.state_dict())
    return [network.state_dict()[key] for key in learned]


def _copy_in_order(network: Network, tensors: Iterable[Tensor], parts: str = "parts.") -> None:
    """Copy tensors into all parts of such a name but the output; both stand from the pictures to the output."""
    state = network.state_dict()
    names = [one for one in _learned(state) if one.startswith(parts) and not one.startswith("parts.output.")]
    with torch.no_grad():
        for name, tensor in zip(names, (tensor for tensor in tensors if tensor.dim()), strict=True):  # no counters
            state[name].copy_(tensor)


def _learned(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.endswith("num_batches_tracked")]


def _none(name: str, where: str, those: Iterable[str]) -> MienError:
    return MienError(
        f"There are no weights for {name} from {where}", f"Start from nothing, or take one of: {', '.join(those)}"
    )
