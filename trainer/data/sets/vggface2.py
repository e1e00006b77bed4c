"""VGGFace2: 3.31 million pictures of 9,131 people, for face identity.

    train/n000002/0001_01.jpg, test/n000001/…       one folder for each person; 8,631 and 500 of them
    bb_landmark/loose_bb_train.csv, …_test.csv      NAME_ID,X,Y,W,H with "n000002/0001_01"; optional, also in meta/

Checked against the publishers' notes and public readers. With the csv files samples have boxes.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.faces.detector import Box
from trainer.data.checks import Source, check_people, read_rows, to_number
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample
from trainer.data.sets.folders import PictureFolders

SOURCE = Source(
    "VGGFace2",
    "the Visual Geometry Group of the University of Oxford (page: VGGFace2 Dataset for Face Recognition)",
    "train and test and, if wanted, bb_landmark",
)
SPLITS = ("train", "test")
_SIDES = ("X", "Y", "W", "H")


class VggFace2(PictureFolders):
    """People's pictures; `person` is the folder's name.

    Args:
        folder: holds train, test and, for boxes, bb_landmark.

    Raises:
        MienError: a folder is missing or empty, a person is in both splits, or a box's row is wrong or of no picture.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("VGGFace2", {split: SOURCE.first_folder(folder, split) for split in SPLITS})
        self.published = 3_311_286
        splits: dict[str, set[str]] = defaultdict(set)
        for split, person in self.groups:
            splits[person].add(split)
        check_people(folder, splits)
        files = [
            file
            for split in SPLITS
            for part in ("bb_landmark", "meta/bb_landmark")
            if (file := folder / part / f"loose_bb_{split}.csv").is_file()
        ]
        self._boxes = self._read_boxes(files) if files else None

    def __getitem__(self, index: int) -> Sample:
        path, split, person = self.locate(index)
        box = None
        if self._boxes is not None and self._boxes[index, 2] > 0:
            x, y, width, height = self._boxes[index].tolist()
            box = Box(x, y, width, height)
        return Sample(PictureFile(path), split, person=person, box=box)

    def _read_boxes(self, files: list[Path]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Boxes by sample, float32 (N, 4) as x, y, width, height; 0 where there is none."""
        keys = np.array([f"{person}/{Path(name).stem}".encode() for person, name in self.names()])
        order = np.argsort(keys)
        boxes = np.zeros((len(self), 4), np.float32)
        for file in files:
            for number, row in read_rows(file, ["NAME_ID", *_SIDES]):
                key = row["NAME_ID"].encode()
                place = int(np.searchsorted(keys, key, sorter=order))
                if place == len(keys) or keys[order[place]] != key:
                    raise MienError(
                        f"{file}, row {number}: there is no picture {row['NAME_ID']}.jpg",
                        "Unpack the data set again, all of its parts",
                    )
                boxes[order[place]] = [to_number(row[side], side, file, number) for side in _SIDES]
        return boxes
