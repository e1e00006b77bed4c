"""Pictures in folders named after what they show: the form of ImageNet, VGGFace2 and most home-made sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from mien.sources import PICTURE_SUFFIXES
from trainer.data.checks import Source, check_classes, folders_in, look_up
from trainer.data.pictures import PictureFile
from trainer.data.sample import Dataset, Sample

IMAGENET = Source(
    "ImageNet",
    "the ImageNet team of Princeton and Stanford (page: ImageNet Large Scale Visual Recognition Challenge 2012)",
    "train/n01440764/*.JPEG … and val/n01440764/*.JPEG … (the validation pictures sorted into their classes' folders)",
)
IMAGENET_PICTURES, IMAGENET_CLASSES = 1_281_167 + 50_000, 1000
_LABELS = {label: label for label in CANONICAL_LABELS}


class PictureFolders(Dataset):
    """Pictures in folders, one folder for each class, person or kind of object.

    The files' names are held in memory, about 40 bytes each, so that millions fit.

    Args:
        name: of the data set.
        folders: by split, the folder that holds the named folders.

    Raises:
        MienError: a folder has no picture, or there is none.
    """

    def __init__(self, name: str, folders: Mapping[str, Path]) -> None:
        self.name = name
        self._folders = dict(folders)
        self.groups: list[tuple[str, str]] = []
        names: list[NDArray[np.bytes_]] = []
        for split, root in self._folders.items():
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
                self.groups.append((split, folder.name))
        self._ends = np.cumsum([len(part) for part in names])
        self._names = names

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        path, split, group = self.locate(index)
        return Sample(PictureFile(path), split, category=group)

    def names(self) -> Iterator[tuple[str, str]]:
        """Folder and file name of each picture."""
        for (_, group), names in zip(self.groups, self._names, strict=True):
            yield from ((group, os.fsdecode(bytes(name))) for name in names)

    def locate(self, index: int) -> tuple[Path, str, str]:
        """Path, split and folder of a picture."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._ends, index, side="right"))
        split, group = self.groups[number]
        within = index - int(self._ends[number]) + len(self._names[number])
        return self._folders[split] / group / os.fsdecode(bytes(self._names[number][within])), split, group


class ExpressionFolders(PictureFolders):
    """Folders named by canonical labels: FOLDER/happiness or FOLDER/train/happiness with the pictures.

    Raises:
        MienError: a folder is no canonical label or empty, or a class is in one split only.
    """

    def __init__(self, folder: Path) -> None:
        splits = {split: folder / split for split in ("train", "validation", "test") if (folder / split).is_dir()}
        super().__init__("folder", splits or {"all": folder})
        found: dict[str, set[str]] = {split: set() for split, _ in self.groups}
        for split, group in self.groups:
            found[split].add(look_up(_LABELS, group, "the folder", self._folders[split] / group))
        check_classes(folder, found, sorted(set().union(*found.values())))

    def __getitem__(self, index: int) -> Sample:
        path, split, group = self.locate(index)
        return Sample(PictureFile(path), split, expression=group)


def open_imagenet(folder: Path) -> PictureFolders:
    """Open ImageNet (ILSVRC 2012) in its folder form; the category of a sample is its WordNet number.

    Raises:
        MienError: a folder is missing or holds no pictures, or the two splits have other classes.
    """
    parts = {"train": IMAGENET.first_folder(folder, "train"), "validation": IMAGENET.first_folder(folder, "val")}
    if not folders_in(parts["validation"]):
        raise IMAGENET.missing(parts["validation"] / "n01440764")
    dataset = PictureFolders("ImageNet", parts)
    dataset.published = IMAGENET_PICTURES
    found: dict[str, set[str]] = {split: {group for part, group in dataset.groups if part == split} for split in parts}
    check_classes(folder, found, sorted(set().union(*found.values())))
    return dataset


def _pictures(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and entry.name.lower().endswith(PICTURE_SUFFIXES)
        ]
