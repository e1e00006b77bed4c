"""SFEW 2.0, Static Facial Expressions in the Wild: frames of films, 7 classes, split by film.

    Train/Angry/Airheads_000519240_00000005.png, Val/Angry/…            whole frames, or
    Train_Aligned_Faces/Angry/…, Val_Aligned_Faces/Angry/…              cut-out faces (143 × 181 pixels)

Public readers differ in whether the second folders lie within the first (Train/Train_Aligned_Faces) and in the name of
the corrected validation faces (Val_Aligned_Faces_new): all of these are accepted. The test part has no public labels
and is not read. A file is named after its film, clip and frame; the publishers name no people.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainer.data.checks import Source, check_samples, folders_in, look_up
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample, SampleList

SOURCE = Source(
    "SFEW 2.0",
    "A. Dhall and R. Goecke, Human-Centred Technology Research Centre of the University of Canberra "
    "(pages: EmotiW; Static Facial Expressions in the Wild)",
    "Train and Val, or Train_Aligned_Faces and Val_Aligned_Faces",
)
LABELS = {
    "Angry": "anger",
    "Disgust": "disgust",
    "Fear": "fear",
    "Happy": "happiness",
    "Neutral": "neutral",
    "Sad": "sadness",
    "Surprise": "surprise",
}
_FOLDERS = {
    "frames": {"train": ["Train"], "validation": ["Val"]},
    "aligned": {
        "train": ["Train_Aligned_Faces", "Train/Train_Aligned_Faces"],
        "validation": ["Val_Aligned_Faces_new", "Val_Aligned_Faces", "Val/Val_Aligned_Faces"],
    },
}


def open_sfew(folder: Path, pictures: str = "frames") -> SampleList:
    """Open SFEW 2.0.

    Args:
        folder: as above.
        pictures: "frames" or "aligned".

    Raises:
        MienError: a folder is missing, one is not a class, or a split lacks a class.
    """
    samples: list[Sample] = []
    for split, names in look_up(_FOLDERS, pictures, "pictures", folder).items():
        samples += _read(SOURCE.first_folder(folder, *names), split)
    check_samples(folder, samples, list(LABELS.values()), ["train", "validation"])
    return SampleList("SFEW 2.0", samples)


def _read(folder: Path, split: str) -> Iterator[Sample]:
    for of_class in folders_in(folder):
        if of_class.name.endswith("_Aligned_Faces"):
            continue
        label = look_up(LABELS, of_class.name, "the folder", of_class)
        for path in sorted(of_class.glob("[!.]*.png")):
            clip, _, frame = path.stem.rpartition("_")
            number = int(frame) if frame.isdecimal() else None
            yield Sample(PictureFile(path), split, expression=label, sequence=clip or path.stem, frame=number)
