"""A small version of the realism figures, and sheets to look at."""

from __future__ import annotations

import resource
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.default_bundle import built_bundle
from trainer.data.synthetic.domains import DOMAINS
from trainer.data.synthetic.realism import (
    MEASURED,
    MEASURING_SEED,
    TUNING_SEED,
    ClassFigures,
    Realism,
    measure_realism,
    show_realism,
)
from trainer.data.synthetic.realism_report import report, save
from trainer.data.synthetic.sheet import save_sheet, sheet_of_domain
from trainer.data.synthetic.studio import Studio

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_models_trained_on_photographs_find_and_read_the_renders(small_studio: Studio) -> None:
    result = measure_realism(open_bundle(built_bundle("fer2013")), renders_per_class=10)
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


def test_the_page_has_every_class_and_keeps_what_was_measured_elsewhere(tmp_path: Path) -> None:
    classes = {label: ClassFigures(200, 199, 0.795 if label == "neutral" else 0.5, {"fear": 9}) for label in MEASURED}
    page = report(Realism("fer 1", "box", 200, 192, 0.985, classes))
    assert "98.5% (goal 98%, yes)" in page
    assert "| neutral | 200 | 199 | 0.795 | 0.8 | no | fear 9 |" in page
    assert "| anger | 200 | 199 | 0.500 | 0.5 | yes | fear 9 |" in page
    assert "variants with action unit 18 (pursed lips)" in page
    file = tmp_path / "renders.md"
    file.write_text("# Old\n\n## Speed\n\n58 pictures a second\n")
    save(page, file)
    assert file.read_text() == f"{page}\n## Speed\n\n58 pictures a second\n"


def test_a_sheet_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    save_sheet(np.zeros((8, 8, 3), np.uint8), file)
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(MienError, match=r"sheet.png cannot be written"):
            save_sheet(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
    assert file.read_bytes() == before


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
