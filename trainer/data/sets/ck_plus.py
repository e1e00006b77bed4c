"""CK+, the Extended Cohn-Kanade data set: 593 sequences of 123 people from neutral to the peak, 327 with a label.

    cohn-kanade-images/S005/001/S005_001_00000001.png …   the frames of a sequence
    Emotion/S005/001/S005_001_00000011_emotion.txt        one number, as 3.0000000e+00; missing for 266 sequences
    Landmarks/S005/001/S005_001_00000001_landmarks.txt    68 lines "x y", tracked by an active appearance model

Layout and codes as public readers of the official archives use them; the tests write it by hand. Which frames of a
sequence are used is a *selection*:

- `6-small`, `7-without-neutral-small`, `7-without-contempt-small`, `8-small`: the last frame of each labelled sequence;
  with neutral, its first frame too (paper 003, 5.1.4 and Table 5);
- the same with `-large`: the last three frames (paper 003). `8-large` is also paper 004's protocol (II): 327 first
  and 3 × 327 last frames are its 1,308 images, 8 classes;
- `threshold`: every frame; up to 30 % of a sequence is neutral, from 54 % on its expression (paper 001, III.A, which
  names no percentage: with these 24 % of the frames are left out, as in its Table I).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from trainer.data.checks import Source, check_samples, folders_in, look_up, to_landmarks
from trainer.data.pictures import PictureFile
from trainer.data.sample import Dataset, Sample

SOURCE = Source(
    "CK+",
    "the Affect Analysis Group of the University of Pittsburgh (page: Cohn-Kanade AU-Coded Facial Expression Database)",
    "cohn-kanade-images, Emotion and Landmarks",
)
# As the release's notes number them.
LABELS = {
    "0": "neutral",
    "1": "anger",
    "2": "contempt",
    "3": "disgust",
    "4": "fear",
    "5": "happiness",
    "6": "sadness",
    "7": "surprise",
}
NEUTRAL_UP_TO, EXPRESSION_FROM = 0.30, 0.54
# Below these again where each archive was unpacked into a folder of its own name.
_IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
_EMOTIONS = ("Emotion", "Emotion_labels/Emotion", "Emotion_Labels/Emotion")
_FRAME = re.compile(r"(S\d+)_(\d+)_(\d+)\.png")

Frame = TypeVar("Frame")


class Selection(NamedTuple):
    """Which frames of a labelled sequence are used.

    Attributes:
        last: so many at its end; 0 = all frames, told apart by the threshold.
        neutral: whether the first frame is used as neutral.
        contempt: whether sequences of contempt are used.
        published: number of samples in the complete data set, by papers 003 (Table 1) and 004.
    """

    last: int
    neutral: bool
    contempt: bool
    published: int | None


SELECTIONS = {
    "6-small": Selection(1, False, False, 309),
    "7-without-neutral-small": Selection(1, False, True, 327),
    # Paper 003 keeps the first frames of all 327 sequences in neutral, those of contempt too (Table 1).
    "7-without-contempt-small": Selection(1, True, False, 636),
    "8-small": Selection(1, True, True, 654),
    "6-large": Selection(3, False, False, 927),
    "7-without-neutral-large": Selection(3, False, True, 981),
    "7-without-contempt-large": Selection(3, True, False, 1254),
    "8-large": Selection(3, True, True, 1308),
    "threshold": Selection(0, True, True, None),
}


def select(frames: Sequence[Frame], label: str, selection: Selection) -> Iterator[tuple[Frame, str]]:
    """Frames of a sequence that are used, and their labels.

    Args:
        frames: of the sequence, in order, from neutral to the peak.
        label: expression of the sequence.
        selection: which are used.
    """
    if selection.last == 0:
        for number, frame in enumerate(frames, 1):
            if number <= NEUTRAL_UP_TO * len(frames):
                yield frame, "neutral"
            elif number >= EXPRESSION_FROM * len(frames):
                yield frame, label
        return
    if selection.neutral:
        yield frames[0], "neutral"
    if label != "contempt" or selection.contempt:
        yield from ((frame, label) for frame in frames[-selection.last :])


class CkPlus(Dataset):
    """Frames of labelled sequences; their landmarks are read when a sample is asked for."""

    def __init__(self, selection: str, samples: list[Sample], landmarks: Path | None, left_out: Counter[str]) -> None:
        self.name, self.published, self.left_out = f"CK+ {selection}", SELECTIONS[selection].published, left_out
        self._samples, self._landmarks = samples, landmarks

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self._samples[index]
        if self._landmarks is None:
            return sample
        return replace(sample, landmarks=_read_landmarks(self._landmarks, Path(sample.picture.name)))


def open_ck_plus(folder: Path, selection: str = "8-large") -> CkPlus:
    """Open CK+; it has no split of its own.

    Args:
        folder: holds cohn-kanade-images, Emotion and, for samples with landmarks, Landmarks.
        selection: which frames, a name of `SELECTIONS`.

    Raises:
        MienError: a folder is missing, a file's name or label is wrong, the labelled frame is not there, or a class
            has no sample.
    """
    chosen = look_up(SELECTIONS, selection, "selection", folder)
    images, emotions = SOURCE.first_folder(folder, *_IMAGES), SOURCE.first_folder(folder, *_EMOTIONS)
    left_out: Counter[str] = Counter()
    samples: list[Sample] = []
    for sequence in (path for person in folders_in(images) for path in folders_in(person)):
        frames = _frames(sequence)
        label = _label(emotions, sequence, frames)
        if label is None:
            left_out["sequences without a label"] += 1
            continue
        used = [_sample(path, label) for path, label in select(frames, label, chosen)]
        samples += used
        left_out["frames that the selection does not use"] += len(frames) - len(used)
    classes = set(CANONICAL_LABELS)
    classes -= set() if chosen.contempt else {"contempt"}
    classes -= set() if chosen.neutral else {"neutral"}
    check_samples(images, samples, sorted(classes), ["all"])
    landmarks = folder / "Landmarks"
    return CkPlus(selection, samples, landmarks if landmarks.is_dir() else None, left_out)


def _label(emotions: Path, sequence: Path, frames: list[Path]) -> str | None:
    """The expression of a sequence; None where nobody has named it."""
    folder = emotions / sequence.parent.name / sequence.name
    files = sorted(folder.glob("[!.]*_emotion.txt")) if folder.is_dir() else []
    if not files:
        return None
    text = files[0].read_text(encoding="utf-8", errors="replace").strip()
    try:
        code = f"{float(text):g}"
    except ValueError:
        code = text
    label = look_up(LABELS, code, "the emotion", files[0])
    peak = files[0].name.replace("_emotion.txt", ".png")
    if len(files) > 1 or peak not in {frame.name for frame in frames}:
        raise MienError(
            f"{folder}: there must be one label, that of a frame in {sequence}; found {files[-1].name}",
            "Unpack the data set again, all of its parts",
        )
    return label


def _sample(path: Path, label: str) -> Sample:
    person, sequence, frame = path.stem.split("_")
    return Sample(
        PictureFile(path), "all", person=person, expression=label, sequence=f"{person}_{sequence}", frame=int(frame)
    )


def _read_landmarks(landmarks: Path, picture: Path) -> NDArray[np.float32]:
    file = landmarks / picture.parent.parent.name / picture.parent.name / f"{picture.stem}_landmarks.txt"
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SOURCE.missing(file) from error
    return to_landmarks(text.split(), str(file))


def _frames(sequence: Path) -> list[Path]:
    """The frames of a sequence in order."""
    frames = sorted(sequence.glob("[!.]*.png"))
    for path in frames:
        match = _FRAME.fullmatch(path.name)
        if match is None or match.group(1, 2) != (sequence.parent.name, sequence.name):
            raise MienError(
                f"{path} is not named like a frame of {sequence.parent.name}/{sequence.name}",
                "Unpack the data set again; its frames are named as S005_001_00000001.png",
            )
    if not frames:
        raise MienError(f"{sequence} has no frames (.png)", "Unpack the data set again, all of its parts")
    return frames
