"""One graph against five calls: both must say the same, and the page keeps what people wrote."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mien.benchmark.results import Times

TOOL = Path(__file__).resolve().parents[2] / "tools" / "measure_ensemble.py"
PICTURES = np.zeros((2, 1, 4, 4), np.float32)


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("measure_ensemble", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOL.parent))  # as for a script
        spec.loader.exec_module(module)
        yield module


def says(probability: float) -> object:
    return lambda pictures: np.full((len(pictures), 1), probability, np.float32)


def test_both_must_say_the_same(tool: ModuleType) -> None:
    row = tool.measure("a case", says(0.5), [says(0.4), says(0.6)], PICTURES, 5, 1e-4)
    assert (row.name, row.faces) == ("a case", 2)
    assert row.ratios == tuple(sorted(row.ratios))
    with pytest.raises(SystemExit, match=r"a case: one graph and five calls differ by 0\.1"):
        tool.measure("a case", says(0.5), [says(0.4), says(0.4)], PICTURES, 5, 1e-4)


def test_figures_replace_figures_and_nothing_else(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = tool.Row("96 px, fp32", 4, Times(8.1, 8.0, 9.0), Times(10.1, 10.0, 12.0), (1.2, 1.25, 1.3))
    monkeypatch.setattr(tool, "rows_of", lambda *_: [row])
    page = tmp_path / "page.md"
    page.write_text(f"# Above\n\n{tool.HEADING}\n\nold figures\n")
    monkeypatch.setattr("sys.argv", ["measure_ensemble.py", "--save", str(page)])
    for _ in range(2):
        tool.main()
    text = page.read_text()
    assert text.startswith(f"# Above\n\n{tool.HEADING}\n")
    assert "old figures" not in text
    assert text.count("| 96 px, fp32 | 4 | 8.00 | 9.00 | 10.00 | 12.00 | 1.250 (1.200–1.300) |") == len(
        tool.ARCHITECTURES
    )
