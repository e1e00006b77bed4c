"""Contact sheets: many pictures on one page, with their labels and landmarks, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mien.errors import MienError
from mien.faces.detector import Image
from trainer.data.output import output_errors, whole_file
from trainer.data.synthetic.dataset import read_labels
from trainer.data.synthetic.domains import find_domain
from trainer.data.synthetic.labels import Label
from trainer.data.synthetic.sample import make_sample

_CAPTION = 14  # pixels below each picture
_SEEN, _HIDDEN = (80, 255, 80), (60, 60, 255)


def sheet_of_domain(
    domain_name: str, *, rows: int = 6, columns: int = 10, side: int = 128, seed: int = 0, landmarks: bool = True
) -> Image:
    """A sheet made from nothing: pictures from anywhere in a domain.

    Returns:
        uint8 (rows · (side + 14), columns · side, 3), BGR.

    Raises:
        MienError: there is no such domain, or rendering is not possible here.
    """
    domain = find_domain(domain_name)
    wanted = rows * columns
    chosen = np.sort(np.random.default_rng(0).permutation(domain.count)[:wanted])
    samples = [make_sample(domain, seed, int(index), side) for index in chosen]
    return make_sheet(samples, columns, landmarks=landmarks)


def sheet_of_folder(folder: Path, *, rows: int = 6, columns: int = 10, landmarks: bool = True) -> Image:
    """A sheet of pictures of a folder of renders, spread evenly.

    Raises:
        MienError: the folder holds no renders, or a picture cannot be read.
    """
    labels = read_labels(folder)
    if not labels:
        raise MienError(f"{folder} holds no finished renders", "Render into it first")
    chosen = np.unique(np.linspace(0, len(labels) - 1, rows * columns).astype(int))
    samples = []
    for number in chosen:
        file = folder / labels[number].file
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if image is None:
            raise MienError(f"{file} cannot be read", "Delete the folder and render again")
        samples.append((np.asarray(image, np.uint8), labels[number]))
    return make_sheet(samples, columns, landmarks=landmarks)


def make_sheet(samples: Sequence[tuple[Image, Label]], columns: int, *, landmarks: bool = True) -> Image:
    """Put pictures of one size on a sheet, with landmarks (green where they are seen, red where covered) and captions.

    Args:
        samples: pictures, uint8 (side, side, 3), BGR, and their labels.
        columns: pictures in a row.
        landmarks: whether to draw them.
    """
    side = samples[0][0].shape[0]
    rows = -(-len(samples) // columns)
    sheet = np.full((rows * (side + _CAPTION), columns * side, 3), 255, np.uint8)
    for number, (image, label) in enumerate(samples):
        row, column = divmod(number, columns)
        y, x = row * (side + _CAPTION), column * side
        cell = sheet[y : y + side, x : x + side]
        cell[:] = image
        if landmarks:
            for (point_x, point_y), seen in zip(label.landmarks, label.visible, strict=True):
                # Circles with a fraction of a pixel: 4 bits.
                middle = round(point_x * 16), round(point_y * 16)
                cv2.circle(cell, middle, 12, _SEEN if seen else _HIDDEN, -1, cv2.LINE_AA, shift=4)
        caption = f"{label.label} {label.intensity:.1f} {label.occlusion}" if label.person else label.label
        cv2.putText(sheet, caption, (x + 2, y + side + 10), 0, 0.3, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def save_sheet(sheet: Image, file: Path) -> None:
    """Write a sheet as PNG.

    Raises:
        MienError: the file cannot be written; what was there stays.
    """
    with output_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as partial:
        partial.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
