"""VGGFace2: 3.31 million pictures of 9,131 people, for face identity.

    train/n000002/0001_01.jpg, test/n000001/…       one folder for each person; 8,631 and 500 of them
    bb_landmark/loose_bb_train.csv, …_test.csv      NAME_ID,X,Y,W,H with "n000002/0001_01"; optional, also in meta/

Checked against the publishers' notes and public readers. With the csv files samples have boxes.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from trainer.data.checks import Source, check_people, read_rows, to_number
from trainer.data.sets.folders import PictureFolders, scan

SOURCE = Source(
    "VGGFace2",
    "the Visual Geometry Group of the University of Oxford (page: VGGFace2 Dataset for Face Recognition)",
    "train and test and, if wanted, bb_landmark",
)
SPLITS = ("train", "test")
PUBLISHED = 3_141_890 + 169_396
_SIDES = ("X", "Y", "W", "H")


def open_vggface2(folder: Path) -> PictureFolders:
    """Open VGGFace2; `person` is the folder's name.

    Args:
        folder: holds train, test and, for boxes, bb_landmark.

    Raises:
        MienError: a folder is missing or empty, a person is in both splits, or a box's row is wrong or of no picture.
    """
    dataset = scan("VGGFace2", "person", {split: SOURCE.first_folder(folder, split) for split in SPLITS})
    dataset.published = PUBLISHED
    splits: dict[str, set[str]] = defaultdict(set)
    for split, person in dataset.groups:
        splits[person].add(split)
    check_people(folder, splits)
    files = [
        file
        for split in SPLITS
        for part in ("bb_landmark", "meta/bb_landmark")
        if (file := folder / part / f"loose_bb_{split}.csv").is_file()
    ]
    if files:
        dataset.boxes = _read_boxes(files, dataset)
    return dataset


def _read_boxes(files: list[Path], dataset: PictureFolders) -> NDArray[np.float32]:
    """Boxes by sample, (N, 4) as x, y, width, height; 0 where there is none."""
    keys = np.array([f"{person}/{Path(name).stem}".encode() for person, name in dataset.names()])
    order = np.argsort(keys)
    boxes = np.zeros((len(keys), 4), np.float32)
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
