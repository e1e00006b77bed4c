"""The frozen part of trained networks as one ONNX graph, and what every graph of ours is checked for."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.parity import allowed_difference
from mien.bundle import InputSpec
from mien.errors import MienError, require
from mien.models.mini_xception import IR_VERSION, OPSET
from mien.runtime.backend import BackendOptions, Model, load_network
from trainer.models import Network
from trainer.models.feature_map import Backbone, backbones
from trainer.models.parts_subnet import Repeat


def export_graph(networks: Sequence[Network], has_feature_map: bool = False) -> bytes:
    """Write the layers up to the embedding as ONNX; several networks side by side, which look at the same pictures.

    Args:
        networks: trained, all with the same input; their embeddings are put together in this order. Left in
            evaluation mode.
        has_feature_map: also give the last maps before they are pooled.

    Returns:
        The file: opset 18; input `image` float32 ("batch", C, H, W); outputs `embedding` float32 ("batch", E) and,
        where wanted, `feature_map` float32 ("batch", K, h, w), the channels of all maps in the same order. Maps that
        differ in size are outputs of their own, in that order: `feature_map`, `feature_map_2` and so on.

    Raises:
        MienError: a network gives numbers that are not finite, or the file differs from torch by more than
            `allowed_difference`.
    """
    return export_module(_SideBySide(networks, has_feature_map), networks[0].input)


class NamedOutputs(nn.Module):
    """A module that gives tensors in the order of `names`."""

    names: list[str]


def export_module(graph: NamedOutputs, spec: InputSpec) -> bytes:
    """Write a module as ONNX, and compare the file with torch.

    Args:
        graph: from pictures (N, C, H, W) to tensors. Left in evaluation mode.
        spec: of the pictures.

    Returns:
        The file: opset 18; input `image` float32 ("batch", C, H, W); outputs as the module names them.

    Raises:
        MienError: the module gives numbers that are not finite, or the file differs from torch by more than
            `allowed_difference`.
    """
    graph.eval()
    pictures = noise((3, spec.depth, spec.height, spec.width))
    with torch.no_grad():
        expected = {
            name: values.numpy() for name, values in zip(graph.names, graph(torch.from_numpy(pictures)), strict=True)
        }
        if not all(np.isfinite(values).all() for values in expected.values()):
            raise MienError("The network gives numbers that are not finite", "Train its last stage again")
        data = _export(graph, torch.from_numpy(pictures))
    _compare(run_graph(data, pictures), expected)
    return data


def noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Pictures of noise, normalised, always the same ones; float32 of that shape."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def run_graph(data: bytes, pictures: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What an ONNX file gives for pictures, each output by name."""
    network = load_network(Model.of("backbone", "the exported graph", data), BackendOptions())
    outputs = {name: np.array(values) for name, values in network.run(pictures).items()}
    network.close()
    return outputs


class _SideBySide(NamedOutputs):
    """Networks that look at the same pictures; put into evaluation mode."""

    def __init__(self, networks: Sequence[Network], has_feature_map: bool) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(_reading_once(one) for network in networks for one in backbones(network))
        self.eval()
        spec = networks[0].input
        with torch.no_grad():
            maps = self._run(torch.zeros(1, spec.depth, spec.height, spec.width))[1]
        self.is_one_map = len({one.shape[2:] for one in maps}) == 1
        count = 1 if self.is_one_map else len(maps)
        of_maps = ["feature_map", *(f"feature_map_{number}" for number in range(2, count + 1))]
        self.names = ["embedding", *(of_maps if has_feature_map else [])]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) → what `names` says: embeddings put together along their second axis, and likewise the maps."""
        embeddings, maps = self._run(image)
        outputs = _together(embeddings), *([_together(maps)] if self.is_one_map else maps)
        return outputs[: len(self.names)]

    def _run(self, image: Tensor) -> list[tuple[Tensor, ...]]:
        """Embeddings (N, E) and last maps (N, K, h, w)."""
        return list(zip(*(backbone(image) for backbone in self.backbones), strict=True))


def _together(values: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(values), 1) if len(values) > 1 else values[0]


def _reading_once(backbone: Backbone) -> Backbone:
    """Let a convolution read a grey picture itself, not as three equal colours; its weights for these are added up.

    The same numbers for two thirds less work in the first layer, where pictures are largest.
    """
    first = backbone.maps[0]
    if isinstance(first, nn.Sequential) and isinstance(first[0], Repeat):
        convolution = copy.deepcopy(cast(nn.Conv2d, first[1]))
        convolution.in_channels = 1
        convolution.weight = nn.Parameter(convolution.weight.detach().sum(dim=1, keepdim=True))
        backbone.maps[0] = nn.Sequential(convolution, *first[2:])
    return backbone


def _export(graph: NamedOutputs, pictures: Tensor) -> bytes:
    """Write a graph with torch's exporter, which folds the batch normalisation into the convolutions."""
    require("onnxscript", "export")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            (pictures,),
            dynamo=True,
            input_names=["image"],
            output_names=graph.names,
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    if program is None:  # only where the older exporter writes a file
        raise RuntimeError("torch gave no ONNX program")
    return encode(program.model_proto)


def encode(model: Any) -> bytes:
    """Check an ONNX model and write it without what its tools noted down, such as paths of source files."""
    onnx = require("onnx", "robot")
    graph = model.graph
    for one in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        one.ClearField("doc_string")
        one.ClearField("metadata_props")
    del graph.value_info[:]
    model.ir_version, model.producer_name, model.producer_version = IR_VERSION, "mien", ""
    graph.name = "backbone"
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _compare(found: Mapping[str, NDArray[np.float32]], expected: Mapping[str, NDArray[np.float32]]) -> None:
    for name, values in expected.items():
        difference, largest = float(np.abs(found[name] - values).max()), float(np.abs(values).max())
        allowed = allowed_difference(largest)
        if not difference <= allowed:  # NaN is none
            raise MienError(
                f"The exported graph gives another {name} than torch: numbers up to {largest:.3g} differ by "
                f"{difference:.2g}, more than {allowed:.2g}",
                "Use the versions of torch, onnxscript and onnxruntime that mien names; if these are in use, train the "
                "last stage again, because this network makes rounding errors large",
            )
