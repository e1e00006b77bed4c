"""MS-Celeb-1M: 8.46 million faces of 99,892 people in one file, for face identity.

    FaceImageCroppedWithAlignment.tsv       also in data/aligned_face_images/

Seven columns, divided by tabs: Freebase MID (the person), search rank, picture's address, page's address, face's
number, box as base64, JPEG file as base64. Columns and counts are those of the publishers' notes; public readers agree.
Microsoft withdrew the set in 2019. It has no split.

Where each row is gets written down once, in the cache folder; pictures are read from the file when they are needed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.models.cache import cache_folder, write_atomically
from trainer.data.checks import Source, wrong_row
from trainer.data.pictures import Base64Part
from trainer.data.sample import Dataset, Sample

SOURCE = Source(
    "MS-Celeb-1M",
    "its present holders (Microsoft Research withdrew it; page: MS-Celeb-1M: Challenge of Recognizing One Million "
    "Celebrities)",
    "FaceImageCroppedWithAlignment.tsv",
)
COLUMNS = 7
PUBLISHED = 8_456_240
Index = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.bytes_]]
"""Where pictures begin, how long they are, number of the person, and the people's names."""


class MsCeleb(Dataset):
    """Aligned faces within one file; `person` is the Freebase MID."""

    def __init__(self, file: Path, index: Index) -> None:
        self.name, self.published = "MS-Celeb-1M", PUBLISHED
        self._file = file
        self._offset, self._length, self._person, self._names = index

    def __len__(self) -> int:
        return len(self._offset)

    def __getitem__(self, index: int) -> Sample:
        picture = Base64Part(self._file, index + 1, int(self._offset[index]), int(self._length[index]))
        return Sample(picture, "all", person=self._names[self._person[index]].decode())


def open_ms_celeb(folder: Path) -> MsCeleb:
    """Open MS-Celeb-1M.

    Raises:
        MienError: the file is missing, a row has not seven columns, or there is none.
    """
    name = "FaceImageCroppedWithAlignment.tsv"
    file = SOURCE.first_file(folder, name, f"data/aligned_face_images/{name}")
    return MsCeleb(file, _cached_index(file))


def _cached_index(file: Path) -> Index:
    """The index of a file, made anew whenever its size or time has changed."""
    facts = file.stat()
    key = hashlib.sha256(f"{file.resolve()} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:16]
    cached = cache_folder() / "indexes" / f"ms-celeb-{key}.npz"
    try:
        with np.load(cached, allow_pickle=False) as arrays:
            return arrays["offset"], arrays["length"], arrays["person"], arrays["names"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):  # absent, or damaged: made anew
        pass
    index = _index(file)
    data = io.BytesIO()
    offset, length, person, names = index
    np.savez(data, offset=offset, length=length, person=person, names=names)
    write_atomically(cached, data.getvalue())
    return index


def _index(file: Path) -> Index:
    offsets, lengths, people = array("q"), array("i"), array("i")
    number_of: dict[bytes, int] = {}
    try:
        with file.open("rb") as lines:
            offset = 0
            for row, line in enumerate(lines, 1):
                text = line.rstrip(b"\r\n")
                fields = text.split(b"\t")
                if len(fields) != COLUMNS or not fields[0] or not fields[-1]:
                    wrong_row(file, row, f"it has {len(fields)} columns instead of {COLUMNS}, or an empty one")
                offsets.append(offset + len(text) - len(fields[-1]))
                lengths.append(len(fields[-1]))
                people.append(number_of.setdefault(fields[0], len(number_of)))
                offset += len(line)
    except OSError as error:
        raise MienError(f"{file} cannot be read ({error.strerror})", "Copy or download that file again") from error
    if not offsets:
        raise MienError(f"{file} is empty", "Download that file again")
    return np.array(offsets), np.array(lengths), np.array(people), np.array(list(number_of), np.bytes_)
