"""A trained landmark network as the `landmarks.onnx` of a bundle."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from export.figures import measured
from export.graph import NamedOutputs, export_module
from export.manifest import OWNERS, learned_from
from export.output import write_file
from mien.bundle import File, LandmarksSpec
from mien.errors import MienError
from mien.models.own_networks import LandmarksCard
from trainer.models import Network
from trainer.stages.checkpoint import Card, open_network

TOLERANCE = 0.05
"""Sides of the crop: a landmark is sure as far as it is expected to be off by less, along x and along y."""

_ANOTHER = "Name a checkpoint of a stage with target: landmarks, points: all and crop: box"


def export_landmarks(checkpoint: Path, folder: Path) -> LandmarksCard:
    """Write the landmark network of a checkpoint into the folder of a bundle, as one graph with its dense layers.

    Args:
        checkpoint: folder of the checkpoint.
        folder: of the bundle.

    Returns:
        What the manifest says of it, with what it reached on the tests of its own run. Outputs of the graph, float32:
        `landmarks` ("batch", 136), 0 to 1 across the crop; of a network that tells how far off its points may be,
        `confidences` ("batch", 68), 0 to 1: the probability that a point is off by less than `TOLERANCE`, if it is off
        as Laplace's distribution says.

    Raises:
        MienError: the checkpoint cannot be read, or does not locate all landmarks in a crop that robots cut; the file
            differs from torch by more than float32 rounds, or cannot be written.
    """
    network, card = open_network(checkpoint)
    _check(checkpoint, card)
    graph = _Located(network)
    sha256 = write_file(folder, "landmarks.onnx", export_module(graph, card.input))
    origin = f"{card.lineage_text} (trained with mien {version('mien')}, checkpoint {card.sha256[:12]})"
    file = File("landmarks.onnx", sha256, origin, " ".join([OWNERS, *card.licences]))
    spec = LandmarksSpec(file, card.input, card.crop, *graph.names)
    return LandmarksCard(spec, tuple(learned_from([card])), measured(checkpoint))


class _Located(NamedOutputs):
    """A network with its head, and its scales as confidences."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.names = ["landmarks", *(["confidences"] if network.outputs.scales else [])]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) → landmarks (N, 136) and, where the network tells them, confidences (N, 68)."""
        found = self.network(image)
        if found.scales is None:
            return (found.landmarks,)
        along_one_axis = 1 - (-TOLERANCE * (-found.scales).exp()).exp()
        return found.landmarks, along_one_axis.square()


def _check(checkpoint: Path, card: Card) -> None:
    if card.outputs.points != "all":
        told = f"the landmarks of {card.outputs.points} only" if card.outputs.points else "no landmarks"
        raise MienError(f"{checkpoint} tells {told}", _ANOTHER)
    if card.crop.kind not in ("box", "uncropped"):
        raise MienError(f"{checkpoint} sees a crop ({card.crop.kind}) that needs the landmarks themselves", _ANOTHER)
    if card.contrast == "picture":
        raise MienError(
            f"{checkpoint} sees pictures whose contrast is enhanced as a whole, which no robot does",
            "Train it with contrast: crop, or none",
        )
