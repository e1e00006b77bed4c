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
from trainer.data.checks import (
    Source,
    check_classes,
    check_samples,
    look_up,
    picture_inside,
    read_rows,
    to_landmarks,
    to_number,
    wrong_row,
)
from trainer.data.pictures import PictureFile
from trainer.data.sample import Dataset, Sample, SampleList

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
        return _open_folders(folder)
    return _open_lists(folder)


def _open_lists(folder: Path) -> SampleList:
    """The manually annotated lists of 2017; what they say is held in memory, about 1.5 kB a row."""
    images = SOURCE.first_folder(folder, "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
    left_out: Counter[str] = Counter()
    samples: list[Sample] = []
    for split, name in _LISTS.items():
        file = SOURCE.first_file(folder, name, f"Manually_Annotated_file_lists/{name}")
        for number, row in read_rows(file, _COLUMNS, _COLUMNS):
            code = look_up(_CODES, row["expression"], "expression", file, number)
            valence, arousal = (_affect(row[key], key, file, number) for key in ("valence", "arousal"))
            box = [_side(row[key], key, file, number) for key in _COLUMNS[1:5]]
            reason = _why_left_out(code, [valence, arousal])
            if reason:
                left_out[reason] += 1
                continue
            samples.append(
                Sample(
                    PictureFile(picture_inside(images, row["subDirectory_filePath"], f"{file}, row {number}")),
                    split,
                    expression=_expression(code),
                    valence=valence,
                    arousal=arousal,
                    box=Box(*box) if min(box[2:]) > 0 else None,
                    landmarks=_points(row["facial_landmarks"], file, number),
                )
            )
    check_samples(folder, samples, CLASSES, list(_LISTS))
    return SampleList("AffectNet", samples, left_out=left_out)


class AffectNetFolders(Dataset):
    """The folders of 2021: valence, arousal and landmarks are read when a sample is asked for.

    Args:
        files: split, picture and code of the expression of each sample.
        left_out: how much of the source is not used, by reason.
    """

    def __init__(self, files: list[tuple[str, Path, int]], left_out: Counter[str]) -> None:
        self.name, self.left_out, self._files = "AffectNet", left_out, files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        split, image, code = self._files[index]
        landmarks = _annotation(image, "lnd")
        return Sample(
            PictureFile(image),
            split,
            expression=_expression(code),
            valence=_affect_of(_annotation(image, "val")),
            arousal=_affect_of(_annotation(image, "aro")),
            landmarks=to_landmarks(_load(landmarks).ravel(), str(landmarks)),
        )


def _open_folders(folder: Path) -> AffectNetFolders:
    left_out: Counter[str] = Counter()
    files: list[tuple[str, Path, int]] = []
    found: dict[str, set[str]] = {split: set() for split in _FOLDERS}
    for split, name in _FOLDERS.items():
        images = SOURCE.first_folder(folder, f"{name}/images")
        for image in sorted(images.glob("[!.]*.jpg")):
            annotation = _annotation(image, "exp")
            code = look_up(_CODES, f"{_value(annotation):g}", "expression", annotation)
            # Only where there is no class: one file for each picture is enough to open.
            kinds = ("val", "aro") if _expression(code) is None else ()
            affects = [_affect_of(_annotation(image, kind)) for kind in kinds]
            reason = _why_left_out(code, affects)
            if reason:
                left_out[reason] += 1
                continue
            files.append((split, image, code))
            found[split].add(_expression(code) or "")
    check_classes(folder, found, CLASSES)
    return AffectNetFolders(files, left_out)


def _expression(code: int) -> str | None:
    return CLASSES[code] if code < len(CLASSES) else None


def _why_left_out(code: int, affects: list[float | None]) -> str | None:
    if code == NO_FACE:
        return "no face"
    if _expression(code) is None and None in affects:
        return "neither a class nor valence and arousal"
    return None


def _affect(text: str, key: str, file: Path, row: int) -> float | None:
    value = to_number(text, key, file, row)
    if value == _NONE:
        return None
    if not -1 <= value <= 1:
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


def _affect_of(file: Path) -> float | None:
    value = _value(file)
    if value == _NONE:
        return None
    if not -1 <= value <= 1:
        raise MienError(
            f"{file} holds {value:g}, neither -2 (none) nor from -1 to 1", "Copy or download that file again"
        )
    return value
