"""The networks that mien's host trained: package data in `own`, one for expressions and one for 68 landmarks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from mien.bundle import Accuracy, BackboneSpec, File, HeadFile, LandmarksSpec, ValenceArousalSpec
from mien.errors import MienError

OWN = Path(__file__).parent / "own"
EXPRESSION_CARD = "expression.json"
LANDMARKS_CARD = "landmarks.json"
MODEL_CARD = "README.md"
"""Of the default bundle, which has both networks."""
NOTICE = "NOTICE.md"
"""Licences of others whose work is in our networks."""
_REMEDY = "Install mien again"


class ExpressionCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a manifest says of a network for expressions: its fields of the same names. Ours is `expression.json`."""

    name: str
    description: str
    licence: str
    lineage: str
    data_sets: tuple[str, ...]
    labels: tuple[str, ...]
    backbone: BackboneSpec
    head: HeadFile
    valence_arousal: ValenceArousalSpec | None
    accuracy: tuple[Accuracy, ...] = ()

    def files(self) -> list[File]:
        """The backbone in each precision, and the head."""
        return [*self.backbone.files.values(), self.head.file]


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


class ExpressionNetwork(NamedTuple):
    """Files of a network for expressions by their names, and its card."""

    files: dict[str, bytes]
    card: ExpressionCard


class OwnLandmarks(NamedTuple):
    """The network's ONNX file and its card."""

    model: bytes
    card: LandmarksCard


def own_expression(folder: Path = OWN) -> ExpressionNetwork:
    """The network for expressions that comes with mien.

    Args:
        folder: where its files lie.

    Raises:
        MienError: the card cannot be read, or a file is missing or not the one that it describes.
    """
    card = _decode(folder / EXPRESSION_CARD, ExpressionCard)
    return ExpressionNetwork({file.path: _read_described(folder, file, EXPRESSION_CARD) for file in card.files()}, card)


def own_landmarks(folder: Path = OWN) -> OwnLandmarks:
    """The network for landmarks that comes with mien.

    Args:
        folder: where its files lie.

    Raises:
        MienError: the card cannot be read, or the network is missing or not the one that it describes.
    """
    card = _decode(folder / LANDMARKS_CARD, LandmarksCard)
    return OwnLandmarks(_read_described(folder, card.spec.file, LANDMARKS_CARD), card)


def own_model_card(folder: Path = OWN) -> bytes:
    """The default bundle's README.md.

    Raises:
        MienError: it cannot be read.
    """
    return _read(folder / MODEL_CARD)


_Card = TypeVar("_Card", ExpressionCard, LandmarksCard)


def _decode(path: Path, kind: type[_Card]) -> _Card:
    try:
        return msgspec.json.decode(_read(path), type=kind)
    except msgspec.DecodeError as error:
        raise MienError(f"{path}: {error}", _REMEDY) from error


def _read_described(folder: Path, file: File, card: str) -> bytes:
    data = _read(folder / file.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise MienError(f"{folder / file.path} is not the file that {card} describes", _REMEDY)
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})", _REMEDY) from error
