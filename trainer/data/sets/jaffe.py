"""JAFFE, Japanese Female Facial Expression: 213 grey pictures of 256 × 256 pixels, 10 people, 7 classes.

    KA.AN1.39.tiff      person KA, anger, her first picture of it, number 39 of the whole set; all in one folder

Names and codes as public readers of the official archive use them.
"""

from __future__ import annotations

import re
from pathlib import Path

from mien.errors import MienError
from trainer.data.checks import Source, check_samples, look_up
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample, SampleList

SOURCE = Source(
    "JAFFE",
    "its authors, M. Lyons, M. Kamachi and J. Gyoba (page: Japanese Female Facial Expression (JAFFE) Dataset)",
    "the .tiff files",
)
LABELS = {
    "NE": "neutral",
    "HA": "happiness",
    "SA": "sadness",
    "SU": "surprise",
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
}
PUBLISHED = 213
_NAME = re.compile(r"([A-Z]{2})\.([A-Z]{2})(\d+)\.(\d+)\.(?i:tiff?)")


def open_jaffe(folder: Path) -> SampleList:
    """Open JAFFE; it has no split of its own.

    Raises:
        MienError: there are no .tiff files, one is not named as it should be, or a class has no sample.
    """
    files = sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() in (".tif", ".tiff"))
    if not files:
        raise SOURCE.missing(folder / "KA.AN1.39.tiff")
    samples = [_sample(path) for path in files]
    check_samples(folder, samples, list(LABELS.values()), ["all"])
    return SampleList("JAFFE", samples, PUBLISHED)


def _sample(path: Path) -> Sample:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise MienError(
            f"{path} is not named like a picture of JAFFE", "Its files are named as KA.AN1.39.tiff; remove others"
        )
    person, code, _, _ = match.groups()
    return Sample(PictureFile(path), "all", person=person, expression=look_up(LABELS, code, "the expression", path))
