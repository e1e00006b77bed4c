"""The architectures that a recipe may name, each with its input, its sizes and the figures of its own paper."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import msgspec
from torch import nn

from mien.bundle import Contrast, InputSpec
from mien.errors import MienError
from trainer.models import expression_pair, face_expression_net, landmark_net, parts_subnet, published
from trainer.models.efficientnet_lite import efficientnet_lite0
from trainer.models.mini_xception import mini_xception
from trainer.models.mobilenet_v1 import mobilenet_v1
from trainer.models.published import Pieces


@dataclass(frozen=True)
class Architecture:
    """A network up to its last layer.

    Attributes:
        name: in recipes.
        build: makes its layers, with weights drawn from torch's random numbers.
        input: what pictures become before they enter it, at the size of its paper.
        groups: number of groups of layers in front of the embedding.
        embedding_size: length of the embedding, where the frozen part of a bundle ends.
        parameters_published: millions, with 1000 classes (networks for expressions: 7).
        citation: where it and the next stand.
        macs_published: millions of multiply-accumulates for one picture of `input`; 0 = nowhere printed.
        hidden: units of the dense layers between embedding and last layer (ReLU).
        landmark_hidden: likewise, where the network locates landmarks; None = as `hidden`.
        start_dense: draws the weights of all dense layers in a module anew; None = they stay as they were made.
        dropout: share of the values that are dropped before the last layer and after each hidden one, while training.
        smallest_side: of a picture, pixels.
    """

    name: str
    build: Callable[[], Pieces]
    input: InputSpec
    groups: int
    embedding_size: int
    parameters_published: float
    citation: str
    macs_published: float = 0
    hidden: tuple[int, ...] = ()
    landmark_hidden: tuple[int, ...] | None = None
    start_dense: Callable[[nn.Module], None] | None = None
    dropout: float = 0.0
    smallest_side: int = 32

    def input_for(self, image_side: int | None = None, contrast: Contrast = "none") -> InputSpec:
        """What pictures become before they enter it.

        Args:
            image_side: of the pictures, pixels; None = as in its paper.
            contrast: whether the crop's is enhanced.

        Raises:
            MienError: the pictures are too small, or coloured where contrast needs grey ones.
        """
        if image_side is not None and image_side < self.smallest_side:
            raise MienError(
                f"{self.name} cannot take pictures of {image_side} pixels",
                f"Give it at least {self.smallest_side}, or take another architecture",
            )
        if contrast != "none" and self.input.channels != "grey":
            grey = ", ".join(name for name, one in ARCHITECTURES.items() if one.input.channels == "grey")
            raise MienError(
                f"{self.name} sees colours, and only the contrast of grey pictures is enhanced",
                f"Set contrast: none, or take one of: {grey}",
            )
        side = image_side or self.input.width
        return msgspec.structs.replace(self.input, width=side, height=side, contrast=contrast)

    def hidden_for(self, points: str) -> tuple[int, ...]:
        """Units of the dense layers between embedding and last layer.

        Args:
            points: the part of the face whose landmarks the network locates; "" = it tells classes or affect.
        """
        return self.landmark_hidden if points and self.landmark_hidden is not None else self.hidden

    def parts(self, points: str = "") -> tuple[str, ...]:
        """Names of all parts, from the pictures to the output: conv1 …, dense1 …, output; `points` as above."""
        convolutions = (f"conv{i + 1}" for i in range(self.groups))
        return (*convolutions, *(f"dense{i + 1}" for i in range(len(self.hidden_for(points)))), "output")

    def layers(self, points: str = "") -> Pieces:
        """Groups and hidden dense layers with new weights from torch's random numbers; `points` as above."""
        groups, dense = self.build()
        hidden = self.hidden_for(points)
        if hidden != tuple(layer.out_features for layer in dense):
            dense = [nn.Linear(inputs, units) for inputs, units in pairwise((self.embedding_size, *hidden))]
        return Pieces(groups, dense)


def _rgb(side: int, mean: tuple[float, ...], scale: tuple[float, ...]) -> InputSpec:
    return InputSpec(side, side, "rgb", mean, scale)


_HIDDEN = 64
_IMAGENET = _rgb(224, (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375))


def _mobilenet_v1(side: int, width: float, parameters: float, macs: float) -> Architecture:
    return Architecture(
        name=f"mobilenet_v1_{side}" + ("" if width == 1 else f"_w{round(100 * width):03d}"),
        build=partial(_without_dense, partial(mobilenet_v1, width)),
        input=_rgb(side, (127.5,) * 3, (1 / 127.5,) * 3),
        groups=6,
        embedding_size=int(1024 * width),
        parameters_published=parameters,
        citation="Howard and others 2017 (arXiv 1704.04861), Table 6",
        macs_published=macs if side == 224 else 0,
        dropout=0.5 if side == 48 else 0.0,  # paper 003; the original's code has next to none (0.001)
    )


def _parts_subnet(side: int) -> Architecture:
    return Architecture(
        name="parts_subnet" + ("" if side == 160 else f"_{side}"),
        build=partial(_without_dense, parts_subnet.parts_subnet),
        input=InputSpec(side, side, "grey", (127.5,), (1 / 127.5,)),
        groups=4,
        embedding_size=parts_subnet.EMBEDDING_SIZE,
        hidden=parts_subnet.HIDDEN,
        landmark_hidden=parts_subnet.LANDMARK_HIDDEN,
        start_dense=parts_subnet.start_dense,
        smallest_side=parts_subnet.SMALLEST_SIDE,
        parameters_published=0.33,
        macs_published=277.5 if side == 160 else 0,
        citation="paper 004 (Wadhawan and Gandhi), III.C and IV.D: 0.555 GFLOP, with 8 classes",
    )


def _mini_xception_dense() -> Pieces:
    return Pieces(mini_xception(), [nn.Linear(1152, _HIDDEN)])


def _without_dense(groups: Callable[[], list[nn.Module]]) -> Pieces:
    return Pieces(groups(), [])


_ALL = (
    Architecture(
        name="alexnet",
        build=published.alexnet,
        input=_IMAGENET,
        groups=5,
        embedding_size=9216,
        hidden=(4096, 4096),
        dropout=0.5,
        smallest_side=63,
        parameters_published=61.1,
        macs_published=710,
        citation="torchvision, after Krizhevsky 2014 (arXiv 1404.5997), one tower; 60 million in Krizhevsky and others "
        "2012, two towers of half-connected layers",
    ),
    Architecture(
        name="vgg19",
        build=published.vgg19,
        input=_IMAGENET,
        groups=5,
        embedding_size=25088,
        hidden=(4096, 4096),
        dropout=0.5,
        parameters_published=144,
        macs_published=19_600,
        citation="Simonyan and Zisserman 2014 (arXiv 1409.1556), Table 2, configuration E; 19.6 G: He and others 2015",
    ),
    Architecture(
        name="resnet50",
        build=published.resnet50,
        input=_IMAGENET,
        groups=5,
        embedding_size=2048,
        parameters_published=25.6,
        macs_published=4_090,
        citation="torchvision. He and others 2015 (arXiv 1512.03385), Table 1, print 3.8 G: there a block's first "
        "convolution has the stride, here its second. Paper 000's 0.85 M parameters are a mistake",
    ),
    Architecture(
        name="resnet152",
        build=published.resnet152,
        input=_IMAGENET,
        groups=5,
        embedding_size=2048,
        parameters_published=60.2,
        macs_published=11_510,
        citation="torchvision; 11.3 G in He and others 2015, Table 1, for the same reason as ResNet-50",
    ),
    *(
        _mobilenet_v1(side, width, parameters, macs)
        for side in (224, 48)
        for width, parameters, macs in ((1, 4.2, 569), (0.75, 2.6, 325), (0.5, 1.3, 149), (0.25, 0.5, 41))
    ),
    Architecture(
        name="mini_xception",
        build=partial(_without_dense, mini_xception),
        input=InputSpec(64, 64, "grey", (127.5,), (2 / 255,)),
        groups=5,
        embedding_size=1152,
        parameters_published=0.06,
        citation='Arriaga and others 2017 (arXiv 1710.07557): "approximately 60,000 parameters", those that are not '
        "trained with them",
    ),
    Architecture(
        name="mini_xception_dense",  # a small stand-in for AlexNet, whose dense part has hidden layers too (paper 002)
        build=_mini_xception_dense,
        input=InputSpec(64, 64, "grey", (127.5,), (2 / 255,)),
        groups=5,
        embedding_size=1152,
        hidden=(_HIDDEN,),
        parameters_published=0.19,
        citation="by count: mini_xception with a hidden dense layer",
    ),
    Architecture(
        name="face_expression_net",
        build=partial(_without_dense, face_expression_net.face_expression_net),
        input=_rgb(face_expression_net.SIDE, face_expression_net.MEAN, (1 / 255,) * 3),
        groups=4,
        embedding_size=face_expression_net.EMBEDDING_SIZE,
        parameters_published=0.32,
        citation='by count, with 7 classes; face-api.js: "roughly 310kb", where most take a byte',
    ),
    Architecture(
        name="expression_pair",
        build=partial(_without_dense, expression_pair.expression_pair),
        input=InputSpec(expression_pair.SIDE, expression_pair.SIDE, "grey", (127.5,), (2 / 255,)),
        groups=1,
        embedding_size=expression_pair.EMBEDDING_SIZE,
        parameters_published=0.38,
        citation="by count: mini_xception and face_expression_net, with 7 classes",
    ),
    Architecture(
        name="mobilenet_v2",
        build=published.mobilenet_v2,
        input=_IMAGENET,
        groups=6,
        embedding_size=1280,
        dropout=0.2,
        parameters_published=3.4,
        macs_published=300,
        citation="Sandler and others 2018 (arXiv 1801.04381), Table 4; torchvision prints 3.5 million",
    ),
    Architecture(
        name="efficientnet_lite0",
        build=partial(_without_dense, efficientnet_lite0),
        input=_rgb(224, (127.0,) * 3, (1 / 128,) * 3),
        groups=6,
        embedding_size=1280,
        dropout=0.2,
        parameters_published=4.7,
        macs_published=407,
        citation="EfficientNet-lite, its authors' table of 2020, which counts more than convolutions and the dense "
        "layer: these are 385 million",
    ),
    *(_parts_subnet(side) for side in (160, 96, 64, 48)),
    Architecture(
        name="landmark_net",
        build=partial(_without_dense, landmark_net.landmark_net),
        input=InputSpec(landmark_net.SIDE, landmark_net.SIDE, "grey", (127.5,), (1 / 127.5,)),
        groups=4,
        embedding_size=landmark_net.EMBEDDING_SIZE,
        hidden=landmark_net.HIDDEN,
        smallest_side=landmark_net.SMALLEST_SIDE,
        parameters_published=0.69,
        citation="by count, with 68 landmarks and how far off each may be",
    ),
)

ARCHITECTURES = {architecture.name: architecture for architecture in _ALL}
"""By name."""


def find_architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        MienError: there is none; the remedy names those that there are.
    """
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(name, ARCHITECTURES, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise MienError(f"There is no architecture {name!r}", f"{hint}Choose one of: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
