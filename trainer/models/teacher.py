"""A network whose package weights tell expressions, as a teacher: frozen, it answers what another network sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.bundle import InputSpec
from mien.errors import MienError
from trainer.models.network import Network, Outputs, build_network
from trainer.models.weights import KNOWN_EXPRESSIONS, StartWeights, load_start_weights

_LUMINANCE = {"rgb": (0.299, 0.587, 0.114), "bgr": (0.114, 0.587, 0.299)}
"""ITU-R BT.601, as OpenCV makes grey pictures on the robot."""


class Teacher(nn.Module):
    """A frozen network beside a student, whose pictures it is shown.

    It sees what the student sees, in its own colours, size and normalisation: crop, augmentation and enhanced contrast
    are the student's.

    Attributes:
        places: of the classes that both know, in the student's outputs.
        weights: what it has learned from, and whose it is.
    """

    def __init__(self, network: Network, weights: StartWeights, student: Network) -> None:
        """Put a network beside a student; changed in place, it learns nothing any more.

        Raises:
            MienError: they have fewer than two classes in common, by name.
        """
        super().__init__()
        ours, theirs = network.outputs.labels, student.outputs.labels
        shared = [label for label in theirs if label in ours]
        if len(shared) < 2:
            raise MienError(
                f"A {network.architecture.name} cannot teach {', '.join(theirs) or 'no classes'}: it knows "
                f"{', '.join(ours)}",
                "Learn two or more of its classes, or leave out distil",
            )
        self.weights = weights
        self.places = [theirs.index(label) for label in shared]
        self._own_places = [ours.index(label) for label in shared]
        # As the pictures are laid out in training: half the time.
        self._network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        self._seen = student.input
        network.eval()  # and stays so: what is frozen is never trained

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, shared classes), in the order of `places`, for the student's input (N, C, H, W)."""
        classes = self._network(as_input(images, self._seen, self._network.input)).classes
        chosen: Tensor = classes[:, self._own_places]
        return chosen


def load_teacher(architecture: str, student: Network) -> Teacher:
    """A teacher with its package weights, on the processor.

    Raises:
        MienError: there is no such teacher, its weights cannot be fetched here, or it knows nothing of what the student
            tells.
    """
    if architecture not in KNOWN_EXPRESSIONS:
        raise MienError(
            f"No package has weights of {architecture} that tell expressions",
            f"Choose one of these teachers: {', '.join(KNOWN_EXPRESSIONS)}",
        )
    network = build_network(architecture, Outputs(KNOWN_EXPRESSIONS[architecture]), seed=0)
    return Teacher(network, load_start_weights(network, "package"), student)


def as_input(images: Tensor, seen: InputSpec, wanted: InputSpec) -> Tensor:
    """Pictures that were made for one network, as another one takes them; contrast stays as it is.

    Args:
        images: float (N, C, H, W), normalised as `seen` says.
        seen: of the network that they were made for.
        wanted: of the other one.

    Returns:
        float (N, C', H', W'), normalised as `wanted` says; the same tensor where nothing differs.
    """
    if (seen.channels, seen.width, seen.height, seen.mean, seen.scale) == (
        *(wanted.channels, wanted.width, wanted.height),
        *(wanted.mean, wanted.scale),
    ):
        return images
    pixels = images / _by_channel(images, seen.scale) + _by_channel(images, seen.mean)
    if wanted.channels == "grey" and seen.channels != "grey":
        pixels = (pixels * _by_channel(images, _LUMINANCE[seen.channels])).sum(1, keepdim=True)
    elif seen.channels == "grey" and wanted.channels != "grey":
        pixels = pixels.expand(-1, 3, -1, -1)
    elif seen.channels != wanted.channels:
        pixels = pixels.flip(1)
    if pixels.shape[2:] != (wanted.height, wanted.width):
        size = wanted.height, wanted.width
        pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
    return (pixels - _by_channel(images, wanted.mean)) * _by_channel(images, wanted.scale)


def _by_channel(images: Tensor, values: tuple[float, ...]) -> Tensor:
    return images.new_tensor(values)[:, None, None]
