"""RAF-DB, Real-world Affective Faces, basic emotions: 15,339 faces from the internet, 7 classes.

    EmoLabel/list_patition_label.txt            "train_00001.jpg 5", the misspelling is the publishers'
    Image/aligned/train_00001_aligned.jpg       100 × 100 pixels, or
    Image/original/train_00001.jpg              with
    Annotation/boundingbox/train_00001_boundingbox.txt     x0 y0 x1 y1 of the face

also below a folder `basic`. Checked against public readers of the official archives. The split is in the names:
12,271 train, 3,068 test. The publishers name no people.
"""

from __future__ import annotations

from pathlib import Path

from mien.errors import MienError
from mien.faces.detector import Box
from trainer.data.checks import Source, check_samples, look_up, wrong_row
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample, SampleList

SOURCE = Source(
    "RAF-DB",
    "the Pattern Recognition and Intelligent System Laboratory of Beijing University of Posts and Telecommunications "
    "(page: Real-world Affective Faces Database)",
    "EmoLabel and Image",
)
LABELS = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happiness",
    "5": "sadness",
    "6": "anger",
    "7": "neutral",
}
PICTURES = {"aligned": "_aligned.jpg", "original": ".jpg"}
SPLITS = ("train", "test")
PUBLISHED = 15_339


def open_raf_db(folder: Path, pictures: str = "aligned") -> SampleList:
    """Open RAF-DB.

    Args:
        folder: as above.
        pictures: "aligned" or "original"; the latter have boxes where the Annotation folder is there.

    Raises:
        MienError: a file or folder is missing, a line is wrong, a listed picture is not there, or a split lacks
            a class.
    """
    ending = look_up(PICTURES, pictures, "pictures", folder)
    labels = SOURCE.first_file(folder, "EmoLabel/list_patition_label.txt", "basic/EmoLabel/list_patition_label.txt")
    root = labels.parent.parent
    images = SOURCE.first_folder(root, f"Image/{pictures}")
    there = {path.name for path in images.iterdir()}
    samples: list[Sample] = []
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MienError(f"{labels} cannot be read ({error})", "Copy or download that file again") from error
    for number, line in enumerate(lines, 1):
        name, code = _fields(labels, number, line)
        split, stem = name.split("_")[0], Path(name).stem
        if split not in SPLITS:
            wrong_row(labels, number, f"{name} is in no split; names begin with train_ or test_")
        if stem + ending not in there:
            raise SOURCE.missing(images / f"{stem}{ending}")
        samples.append(
            Sample(
                PictureFile(images / f"{stem}{ending}"),
                split,
                expression=look_up(LABELS, code, "the label", labels, number),
                box=_box(root, stem) if pictures == "original" else None,
            )
        )
    check_samples(labels, samples, list(LABELS.values()), SPLITS)
    return SampleList("RAF-DB", samples, PUBLISHED)


def _fields(labels: Path, row: int, line: str) -> tuple[str, str]:
    fields = line.split()
    if len(fields) != 2:
        wrong_row(labels, row, f"it is {line!r} instead of a file's name and a label")
    return fields[0], fields[1]


def _box(root: Path, stem: str) -> Box | None:
    folder = root / "Annotation" / "boundingbox"
    if not folder.is_dir():
        return None
    file = folder / f"{stem}_boundingbox.txt"
    try:
        x0, y0, x1, y1 = map(float, file.read_text(encoding="utf-8").split())
    except FileNotFoundError as error:
        raise SOURCE.missing(file) from error
    except (OSError, ValueError) as error:
        raise MienError(f"{file} does not hold a box x0 y0 x1 y1 ({error})", "Download that file again") from error
    return Box(x0, y0, x1 - x0, y1 - y0)
