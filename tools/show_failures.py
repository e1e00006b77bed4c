"""Shows what an expression network takes most often for something else, on rendered people whom it has not seen.

    python tools/show_failures.py out/default-rendered-study/seed0/STAGE at_home

Writes a picture for docs/results/default-model.md: a row for each of the commonest confusions, its most confident
examples in a row. Rendered people only: no real face is stored anywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.detector import Image
from trainer.evaluate.predictions import Predictions, load_predictions, short_name
from trainer.stages.claim import read_claim
from trainer.stages.job_result import answers_file
from trainer.stages.run import Run

PAGE = Path(__file__).resolve().parent.parent / "docs" / "results" / "default-model-failures.jpg"
ROWS, COLUMNS, SIDE = 6, 8, 96
_CAPTION = 18
_QUALITY = 85


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="folder of the stage")
    parser.add_argument("source", help="of rendered people, one of the stage's tests")
    parser.add_argument("--save", type=Path, default=PAGE)
    wanted = parser.parse_args()
    try:
        sheet = failures(wanted.checkpoint, wanted.source)
    except MienError as error:
        raise SystemExit(str(error)) from error
    encoded = cv2.imencode(".jpg", sheet, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1]
    wanted.save.write_bytes(encoded.tobytes())
    print(f"{wanted.save}: {len(encoded) / 1e3:.0f} kB")


def failures(checkpoint: Path, source: str) -> Image:
    """The sheet, uint8 (H, W, 3) BGR.

    Raises:
        MienError: the checkpoint is not in a run on renders, or was not tested on the source.
    """
    folder = checkpoint.parent.parent
    claim = read_claim(folder)
    if claim.root is not None:
        raise MienError(f"{folder} is a run on real people", "Name one on rendered data")
    answers = load_predictions(answers_file(checkpoint, source))
    crops = Run(claim, folder).material.crops(checkpoint.name, source, 0)
    numbers = {short_name(sample.picture.name): number for number, sample in enumerate(crops.dataset)}
    shown = [crops.pixels(np.array([numbers[name]]))[0] for name in answers.names]
    wrong = answers.truth != answers.predicted
    pairs, counts = np.unique(np.stack([answers.truth, answers.predicted], 1)[wrong], axis=0, return_counts=True)
    commonest = pairs[np.argsort(-counts, kind="stable")][:ROWS]
    return np.concatenate([_row(answers, true, said, shown) for true, said in commonest.tolist()])


def _row(answers: Predictions, true: int, said: int, shown: Sequence[NDArray[np.uint8]]) -> Image:
    """The most confident examples of a confusion below a line that tells how common it is."""
    of_class = answers.truth == true
    wrong = np.flatnonzero(of_class & (answers.predicted == said))
    chosen = wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:COLUMNS]
    row = np.full((_CAPTION + SIDE, COLUMNS * SIDE, 3), 255, np.uint8)
    words = f"{answers.labels[true]} read as {answers.labels[said]}: {len(wrong)} of {of_class.sum()}"
    cv2.putText(row, words, (4, _CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    for column, number in enumerate(chosen):
        pixels = cv2.resize(shown[number], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).reshape(SIDE, SIDE, -1)
        row[_CAPTION:, column * SIDE : (column + 1) * SIDE] = pixels
    return row


if __name__ == "__main__":
    main()
