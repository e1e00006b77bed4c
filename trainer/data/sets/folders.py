"""Pictures in folders named after what they show: the form of ImageNet, VGGFace2 and most home-made sets."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from mien.faces.detector import Box
from mien.sources import PICTURE_SUFFIXES
from trainer.data.checks import Source, check_classes, folders_in, look_up
from trainer.data.pictures import PictureFile
from trainer.data.sample import Dataset, Sample

IMAGENET = Source(
    "ImageNet",
    "the ImageNet team of Princeton and Stanford (page: ImageNet Large Scale Visual Recognition Challenge 2012)",
    "train/n01440764/*.JPEG … and val/n01440764/*.JPEG … (the validation pictures sorted into their classes' folders)",
)
IMAGENET_PICTURES = 1_281_167 + 50_000
_LABELS = {label: label for label in CANONICAL_LABELS}


class PictureFolders(Dataset):
    """Pictures in folders, one folder for each class, person or kind of object.

    Args:
        name: of the data set.
        shows: what the folders' names are, a field of `Sample`.
        roots: by split, the folder that holds the named folders.
        groups: split and name of each folder.
        names: of the files in each folder; about 40 bytes a file, so that millions fit.
    """

    def __init__(
        self,
        name: str,
        shows: Literal["person", "expression", "category"],
        roots: Mapping[str, Path],
        groups: list[tuple[str, str]],
        names: list[NDArray[np.bytes_]],
    ) -> None:
        self.name, self.groups = name, groups
        self._shows, self._roots, self._names = shows, dict(roots), names
        self._ends = np.cumsum([len(part) for part in names])
        self.boxes: NDArray[np.float32] | None = None
        """Of the faces, (N, 4) as x, y, width, height in pixels, empty where unknown; None where there are none."""

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._ends, index, side="right"))
        split, group = self.groups[number]
        within = index - int(self._ends[number]) + len(self._names[number])
        path = self._roots[split] / group / _decode(self._names[number][within])
        return Sample(
            PictureFile(path),
            split,
            person=group if self._shows == "person" else None,
            expression=group if self._shows == "expression" else None,
            category=group if self._shows == "category" else None,
            box=self._box(index),
        )

    def names(self) -> Iterator[tuple[str, str]]:
        """Folder and file name of each picture."""
        for (_, group), names in zip(self.groups, self._names, strict=True):
            yield from ((group, _decode(name)) for name in names)

    def _box(self, index: int) -> Box | None:
        if self.boxes is None or self.boxes[index, 2] <= 0:
            return None
        x, y, width, height = self.boxes[index].tolist()
        return Box(x, y, width, height)


def scan(name: str, shows: Literal["person", "expression", "category"], roots: Mapping[str, Path]) -> PictureFolders:
    """List the pictures of all splits.

    Raises:
        MienError: a root holds no folders, or a folder no pictures.
    """
    groups: list[tuple[str, str]] = []
    names: list[NDArray[np.bytes_]] = []
    for split, root in roots.items():
        below = folders_in(root)
        if not below:
            raise MienError(f"{root} holds no folders, one for each class", "Sort the pictures into such folders")
        for folder in below:
            found = sorted(_pictures(folder))
            if not found:
                raise MienError(
                    f"{folder} holds no pictures ({', '.join(PICTURE_SUFFIXES)})",
                    "Put the pictures of that class there, or remove the folder",
                )
            names.append(np.array([os.fsencode(one) for one in found]))
            groups.append((split, folder.name))
    return PictureFolders(name, shows, roots, groups, names)


def open_expression_folders(folder: Path) -> PictureFolders:
    """Open folders named by canonical labels: FOLDER/happiness or FOLDER/train/happiness with the pictures.

    Raises:
        MienError: a folder is no canonical label or empty, or a class is in one split only.
    """
    roots = {split: folder / split for split in ("train", "validation", "test") if (folder / split).is_dir()}
    roots = roots or {"all": folder}
    dataset = scan("folder", "expression", roots)
    for split, group in dataset.groups:
        look_up(_LABELS, group, "the folder", roots[split] / group)
    _check_same(folder, dataset)
    return dataset


def open_imagenet(folder: Path) -> PictureFolders:
    """Open ImageNet (ILSVRC 2012) in its folder form; the category of a sample is its WordNet number.

    Raises:
        MienError: a folder is missing or holds no pictures, or the two splits have other classes.
    """
    parts = {"train": IMAGENET.first_folder(folder, "train"), "validation": IMAGENET.first_folder(folder, "val")}
    if not folders_in(parts["validation"]):
        raise IMAGENET.missing(parts["validation"] / "n01440764")
    dataset = scan("ImageNet", "category", parts)
    dataset.published = IMAGENET_PICTURES
    _check_same(folder, dataset)
    return dataset


def _check_same(folder: Path, dataset: PictureFolders) -> None:
    """Check that all splits have the same classes."""
    found: dict[str, set[str]] = defaultdict(set)
    for split, group in dataset.groups:
        found[split].add(group)
    check_classes(folder, found, sorted(set().union(*found.values())))


def _decode(name: np.bytes_) -> str:
    return os.fsdecode(bytes(name))


def _pictures(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and entry.name.lower().endswith(PICTURE_SUFFIXES)
        ]
