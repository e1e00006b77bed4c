"""AffectNet: faces from the internet with an expression, valence and arousal, in both forms that were given out.

The lists (2017), of which the manually annotated part is read:

    training.csv, validation.csv       also in Manually_Annotated_file_lists/
    Manually_Annotated_Images/689/737db2483489148d783ef278f43f486c0a97e140fc4b6b61b84363ca.jpg

    subDirectory_filePath, face_x, face_y, face_width, face_height, facial_landmarks, expression, valence, arousal

with 68 landmarks as x;y;x;y…, expressions 0 to 10 (8 none, 9 uncertain, 10 no face) and valence and arousal -2 where
there are none. A list without its header is read too.

The folders (2021), whose faces are already cut out:

    train_set/images/0.jpg, val_set/images/…
    train_set/annotations/0_exp.npy, 0_val.npy, 0_aro.npy, 0_lnd.npy

Checked against public readers of both forms; the .npy files hold single values, as numbers or as text. Pictures of no
face, and those with neither a class nor valence and arousal, are left out. The publishers name no people.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.detector import Box
from trainer.data.checks import Source, check_classes, look_up, read_rows, to_landmarks, to_number, wrong_row
from trainer.data.pictures import PictureFile
from trainer.data.sample import Dataset, Sample

SOURCE = Source(
    "AffectNet",
    "Mohammad H. Mahoor's laboratory at the University of Denver (page: AffectNet)",
    "training.csv, validation.csv and Manually_Annotated_Images, or train_set and val_set",
)
CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
NO_FACE = 10
_CODES = {str(code): code for code in range(NO_FACE + 1)}
_COLUMNS = [
    "subDirectory_filePath",
    *("face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
]
_LISTS = {"train": "training.csv", "validation": "validation.csv"}
_FOLDERS = {"train": "train_set", "validation": "val_set"}
_NONE = -2.0


def open_affectnet(folder: Path) -> Dataset:
    """Open AffectNet in whichever form the folder has.

    Raises:
        MienError: a file is missing or cut off, a column, label or number is wrong, or a split lacks a class.
    """
    if (folder / _FOLDERS["train"]).is_dir():
        return AffectNetFolders(folder)
    return AffectNetLists(folder)


class AffectNetLists(Dataset):
    """The manually annotated lists of 2017. What they say is held in memory, about 0.7 kB a row."""

    def __init__(self, folder: Path) -> None:
        self.name = "AffectNet"
        self.left_out = left_out = Counter[str]()
        self._images = SOURCE.first_folder(
            folder, "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images"
        )
        self._paths: list[str] = []
        splits: list[str] = []
        boxes: list[list[float]] = []
        affects: list[tuple[float, float]] = []
        codes: list[int] = []
        points: list[NDArray[np.float32] | None] = []
        for split, name in _LISTS.items():
            file = SOURCE.first_file(folder, name, f"Manually_Annotated_file_lists/{name}")
            for number, row in read_rows(file, _COLUMNS, _COLUMNS):
                code = look_up(_CODES, row["expression"], "expression", file, number)
                affect = (
                    _affect(row["valence"], "valence", file, number),
                    _affect(row["arousal"], "arousal", file, number),
                )
                reason = _why_left_out(code, affect)
                if reason:
                    left_out[reason] += 1
                    continue
                box = [_side(row[key], key, file, number) for key in _COLUMNS[1:5]]
                self._paths.append(row["subDirectory_filePath"])
                splits.append(split)
                boxes.append(box)
                affects.append(affect)
                codes.append(code)
                points.append(_points(row["facial_landmarks"], file, number))
        self._splits, self._codes = np.array(splits), np.array(codes, np.int8)
        self._boxes, self._affects = np.array(boxes, np.float32), np.array(affects, np.float32)
        self._points = points
        _check(folder, self._splits, self._codes)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Sample:
        x, y, width, height = self._boxes[index].tolist()
        valence, arousal = self._affects[index].tolist()
        return Sample(
            PictureFile(self._images / self._paths[index]),
            str(self._splits[index]),
            expression=_expression(int(self._codes[index])),
            valence=_known(valence),
            arousal=_known(arousal),
            box=Box(x, y, width, height) if width > 0 and height > 0 else None,
            landmarks=self._points[index],
        )


class AffectNetFolders(Dataset):
    """The folders of 2021. The expressions are read when it is opened, the rest when a sample is asked for."""

    def __init__(self, folder: Path) -> None:
        self.name = "AffectNet"
        self.left_out = left_out = Counter[str]()
        self._files: list[tuple[str, Path]] = []
        codes: list[int] = []
        for split, name in _FOLDERS.items():
            images = SOURCE.first_folder(folder, f"{name}/images")
            SOURCE.first_folder(folder, f"{name}/annotations")
            for image in sorted(images.glob("[!.]*.jpg")):
                file = _annotation(image, "exp")
                code = look_up(_CODES, f"{_value(file):g}", "expression", file)
                if code == NO_FACE:
                    left_out["no face"] += 1
                    continue
                self._files.append((split, image))
                codes.append(code)
        self._codes = np.array(codes, np.int8)
        _check(folder, np.array([split for split, _ in self._files]), self._codes)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        split, image = self._files[index]
        landmarks = _annotation(image, "lnd")
        return Sample(
            PictureFile(image),
            split,
            expression=_expression(int(self._codes[index])),
            valence=_known(_affect_of(_annotation(image, "val"))),
            arousal=_known(_affect_of(_annotation(image, "aro"))),
            landmarks=to_landmarks(_load(landmarks).ravel(), str(landmarks)),
        )


def _check(folder: Path, splits: NDArray[np.str_], codes: NDArray[np.int8]) -> None:
    found = {
        split: {name for name in map(_expression, np.unique(codes[splits == split]).tolist()) if name}
        for split in _LISTS
    }
    check_classes(folder, found, CLASSES)


def _expression(code: int) -> str | None:
    return CLASSES[code] if code < len(CLASSES) else None


def _known(value: float) -> float | None:
    return None if value == _NONE else value


def _why_left_out(code: int, affect: tuple[float, float]) -> str | None:
    if code == NO_FACE:
        return "no face"
    if _expression(code) is None and _NONE in affect:
        return "neither a class nor valence and arousal"
    return None


def _affect(text: str, key: str, file: Path, row: int) -> float:
    value = to_number(text, key, file, row)
    if value != _NONE and not -1 <= value <= 1:
        wrong_row(file, row, f"{key} is {text}, neither -2 (none) nor from -1 to 1")
    return value


def _side(text: str, key: str, file: Path, row: int) -> float:
    """A number of the box; NULL, as where no face was found, is -1."""
    return -1.0 if text == "NULL" else to_number(text, key, file, row)


def _points(text: str, file: Path, row: int) -> NDArray[np.float32] | None:
    return None if text == "NULL" else to_landmarks(text.split(";"), f"{file}, row {row}")


def _annotation(image: Path, kind: str) -> Path:
    return image.parent.parent / "annotations" / f"{image.stem}_{kind}.npy"


def _load(file: Path) -> NDArray[np.floating]:
    try:
        return np.asarray(np.load(file, allow_pickle=False), np.float64)
    except FileNotFoundError as error:
        raise SOURCE.missing(file) from error
    except (OSError, ValueError, EOFError) as error:
        raise MienError(f"{file} cannot be read ({error})", "Copy or download that file again") from error


def _value(file: Path) -> float:
    values = _load(file)
    if values.size != 1:
        raise MienError(f"{file} holds {values.size} values instead of one", "Copy or download that file again")
    return float(values.item())


def _affect_of(file: Path) -> float:
    value = _value(file)
    if value != _NONE and not -1 <= value <= 1:
        raise MienError(
            f"{file} holds {value:g}, neither -2 (none) nor from -1 to 1", "Copy or download that file again"
        )
    return value
