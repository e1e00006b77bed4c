"""Rendered faces and objects: a folder that `mien-train data render` has written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from trainer.data.checks import look_up, picture_inside
from trainer.data.pictures import PictureFile
from trainer.data.sample import LANDMARKS, SPLITS, Dataset, Sample
from trainer.data.sets.ck_plus import SELECTIONS, Selection, select
from trainer.data.synthetic.dataset import Made, read_labels
from trainer.data.synthetic.labels import Label

_RENDER_AGAIN = "Delete the folder and render again"


class Renders(Dataset):
    """What has been rendered so far. Labels are exact; landmarks may lie outside the picture."""

    def __init__(self, name: str, folder: Path, labels: list[Label], left_out: Mapping[str, int]) -> None:
        self.name, self.left_out, self._folder, self._labels = name, left_out, folder, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Sample:
        label = self._labels[index]
        is_face = label.person != ""
        is_expression = label.label in CANONICAL_LABELS
        return Sample(
            PictureFile(self._folder / label.file),
            label.split,
            person=label.person or None,
            expression=label.label if is_expression else None,
            category=label.label if not is_face else None,
            valence=label.valence if is_face else None,
            arousal=label.arousal if is_face else None,
            landmarks=np.array(label.landmarks, np.float32) if label.landmarks else None,
            visible=np.array(label.visible, np.bool_) if label.visible else None,
            intensity=label.intensity if is_face else None,
            sequence=label.sequence or None,
            frame=label.frame if label.sequence else None,
            yaw=label.yaw if is_face else None,
        )


def open_renders(folder: Path, selection: str | None = None, count: int = 0) -> Renders:
    """Open a folder of renders, finished or not.

    Args:
        folder: that was rendered into.
        selection: which frames of sequences, a name of `trainer.data.sets.ck_plus.SELECTIONS`; None = all pictures.
        count: the first so many pictures only; 0 = all.

    Raises:
        MienError: the folder holds no finished renders, a label or dataset.json cannot be read or makes no sense, or
            frames are to be selected where there are no sequences of expressions.
    """
    labels = [label for label in read_labels(folder) if not count or label.index < count]
    if not labels:
        raise MienError(f"{folder} holds no finished renders", "Render into it first: mien-train data render")
    for label in labels:
        _check(folder, label)
    file = folder / "dataset.json"
    try:
        made = msgspec.json.decode(file.read_bytes(), type=Made)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MienError(f"{file} cannot be read ({error})", _RENDER_AGAIN) from error
    name = f"renders {made.domain}, seed {made.seed}, {made.side} px"
    if selection is None:
        return Renders(name, folder, labels, {})
    used = list(_selected(labels, look_up(SELECTIONS, selection, "selection", folder)))
    if not used:
        raise MienError(
            f"{folder} has no sequences from neutral to an expression, of which {selection} could use frames",
            "Render lab_a, or name no selection",
        )
    left_out = {"frames that the selection does not use": len(labels) - len(used)}
    return Renders(f"{name}, {selection}", folder, used, left_out)


def _selected(labels: list[Label], selection: Selection) -> Iterator[Label]:
    """Frames that are used, with their labels; as in CK+, no sequence stays neutral, and none is cut off."""
    sequences: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        sequences[label.sequence].append(label)
    sequences.pop("", None)
    longest = max(map(len, sequences.values()), default=0)
    for frames in sequences.values():
        kinds = {frame.label for frame in frames} - {"neutral"}
        if len(kinds) == 1 and len(frames) == longest:
            (kind,) = kinds
            for frame, expression in select(sorted(frames, key=lambda one: one.frame), kind, selection):
                yield msgspec.structs.replace(frame, label=expression)


def _check(folder: Path, label: Label) -> None:
    where = f"{folder}, labels of picture {label.index}"
    picture_inside(folder, label.file, where)
    if label.split not in SPLITS:
        raise MienError(f"{where}: the split is {label.split!r}, not one of {', '.join(SPLITS)}", _RENDER_AGAIN)
    points = LANDMARKS if label.person else 0
    if not len(label.landmarks) == len(label.visible) == points:
        raise MienError(
            f"{where}: there are {len(label.landmarks)} landmarks, {len(label.visible)} with visibility, not {points}",
            _RENDER_AGAIN,
        )
