"""The network for 68 landmarks that mien's host trained on renders: package data, landmarks.onnx and landmarks.json."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from mien.bundle import Accuracy, LandmarksSpec
from mien.errors import MienError

CARD = "landmarks.json"


class LandmarksCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`landmarks.json`.

    Attributes:
        spec: how the network is used, with its file's checksum, source and licence.
        data_sets: that it was trained on.
        accuracy: measured figures.
    """

    spec: LandmarksSpec
    data_sets: tuple[str, ...]
    accuracy: tuple[Accuracy, ...] = ()


class OwnLandmarks(NamedTuple):
    """The network's ONNX file and its card."""

    model: bytes
    card: LandmarksCard


def own_landmarks(folder: Path = Path(__file__).parent) -> OwnLandmarks:
    """The network that comes with mien.

    Args:
        folder: where both files lie.

    Raises:
        MienError: the card cannot be read, or the network is missing or not the one that it describes.
    """
    path = folder / CARD
    remedy = "Install mien again"
    try:
        card = msgspec.json.decode(path.read_bytes(), type=LandmarksCard)
        model = (folder / card.spec.file.path).read_bytes()
    except (OSError, msgspec.DecodeError) as error:
        raise MienError(f"{path}: {error}", remedy) from error
    if hashlib.sha256(model).hexdigest() != card.spec.file.sha256:
        raise MienError(f"{folder / card.spec.file.path} is not the network that {CARD} describes", remedy)
    return OwnLandmarks(model, card)
