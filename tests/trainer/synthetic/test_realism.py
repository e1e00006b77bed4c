"""A small version of the realism figures, and sheets to look at."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mien.bundle import open_bundle
from mien.models.default_bundle import default_bundle
from trainer.data.synthetic.domains import DOMAINS
from trainer.data.synthetic.realism import MEASURED, MEASURING_SEED, TUNING_SEED, measure_realism, show_realism
from trainer.data.synthetic.sheet import save_sheet, sheet_of_domain
from trainer.data.synthetic.studio import Studio

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_models_trained_on_photographs_find_and_read_the_renders(small_studio: Studio) -> None:
    result = measure_realism(open_bundle(default_bundle()), renders_per_class=10)
    console = Console(record=True, width=200)
    show_realism(result, console)
    table = console.export_text()
    assert f"{result.classes['fear'].recall:.2f}" in next(
        line for line in table.splitlines() if line.startswith("fear")
    )
    assert "tuned with this network on other people" in table
    assert MEASURING_SEED != TUNING_SEED
    assert set(result.classes) == set(MEASURED)
    assert result.detected >= 0.98
    # Few renders, so the bounds are far below what the figures of 200 must reach.
    for label in ("neutral", "happiness"):
        assert result.classes[label].recall >= 0.5, label
    for label in set(MEASURED) - {"neutral", "happiness"}:
        assert result.classes[label].recall >= 0.1, label
    assert np.mean([figures.recall for figures in result.classes.values()]) >= 0.55


@pytest.mark.parametrize("name", DOMAINS)
def test_a_sheet_of_each_domain_is_made(small_studio: Studio, name: str) -> None:
    sheet = sheet_of_domain(name, rows=3, columns=6, side=96)
    assert sheet.shape == (3 * 110, 6 * 96, 3)
    save_sheet(sheet, ROOT / "out" / "sheets" / f"{name}.png")
    cells = [
        sheet[row * 110 : row * 110 + 96, column * 96 : column * 96 + 96] for row in range(3) for column in range(6)
    ]
    assert min(cell.std() for cell in cells) > 3, "no cell is empty"
    differences = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(cells)]
    assert min(differences) > 1, "no two are alike"
