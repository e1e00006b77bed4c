"""Rendered faces and objects: a folder that `mien-train data render` has written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from trainer.data.pictures import PictureFile
from trainer.data.sample import Dataset, Sample
from trainer.data.synthetic.dataset import Made, read_labels
from trainer.data.synthetic.labels import Label


class Renders(Dataset):
    """What has been rendered so far. Labels are exact; landmarks may lie outside the picture."""

    def __init__(self, name: str, folder: Path, labels: list[Label]) -> None:
        self.name, self._folder, self._labels = name, folder, labels

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
            sequence=label.sequence or None,
            frame=label.frame if label.sequence else None,
        )


def open_renders(folder: Path) -> Renders:
    """Open a folder of renders, finished or not.

    Raises:
        MienError: the folder holds no finished renders, or a label cannot be read.
    """
    labels = read_labels(folder)
    if not labels:
        raise MienError(f"{folder} holds no finished renders", "Render into it first: mien-train data render")
    made = msgspec.json.decode((folder / "dataset.json").read_bytes(), type=Made)
    return Renders(f"renders {made.domain}, seed {made.seed}, {made.side} px", folder, labels)
