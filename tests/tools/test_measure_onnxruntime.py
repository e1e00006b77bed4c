"""The command that measures ONNX Runtime's settings: what it compares, how it goes on, and what it writes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mien.runtime.backend import Model
from tests.conftest import small_backbone

TOOL = Path(__file__).resolve().parents[2] / "tools" / "measure_onnxruntime.py"
NETWORK = "network"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_onnxruntime", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_round(tool: ModuleType, number: int, slower: float) -> dict[str, Any]:
    """A round in which every setting but mien's takes so many times as long."""
    times = (NETWORK, "load_ms", "private_mb", "paced_ms", "cpu_ms")
    settings = {
        setting: dict.fromkeys(times, (number + 1.0) * (1.0 if setting == tool.BASE else slower))
        for setting in tool.SETTINGS
    }
    return {"round": number, "load": 0.5, "settings": settings}


def test_every_setting_gives_the_same_numbers(tool: ModuleType) -> None:
    model = Model.of("backbone", "a test", small_backbone())
    calls = {setting: tool.make_call(setting, model, (3, 1, 8, 8)) for setting in tool.SETTINGS}
    outputs = {setting: call()[0] for setting, call in calls.items()}
    assert len(outputs) == 9
    for output in outputs.values():
        assert output.shape == (3, 4)
        assert np.allclose(output, outputs[tool.BASE], atol=1e-6)


def test_interrupted_it_goes_on_with_whole_rounds(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.read_rounds(tmp_path / "out", {"CPU": "one"}) == []
    rounds = tmp_path / "out" / "rounds.jsonl"
    rounds.write_text('{"round": 0}\n{"round": 1}\n{"rou')
    assert [one["round"] for one in tool.read_rounds(tmp_path / "out", {"CPU": "one"})] == [0, 1]
    with rounds.open("a") as file:
        file.write(json.dumps({"round": 2}) + "\n")
    assert [one["round"] for one in tool.read_rounds(tmp_path / "out", {"CPU": "one"})] == [0, 1, 2]


def test_rounds_of_another_machine_are_not_mixed_in(tool: ModuleType, tmp_path: Path) -> None:
    tool.read_rounds(tmp_path, {"CPU": "one"})
    with pytest.raises(SystemExit, match="something else"):
        tool.read_rounds(tmp_path, {"CPU": "another"})


def test_the_report_compares_within_rounds(tool: ModuleType) -> None:
    # Later rounds are slower throughout, as on a machine that gets busy: the ratio stays.
    page = tool.report([a_round(tool, number, 1.25) for number in range(5)], {"CPU": "one"}, [NETWORK])
    assert page.startswith(tool.HEADING)
    assert f"| {tool.BASE} | 3.00 ms |" in page
    assert "| no arena | **1.25** (1.25–1.25) |" in page
    assert "5 rounds; other load while they ran: 0.5 to 0.5" in page
    level = tool.report([a_round(tool, 0, 0.9), a_round(tool, 1, 1.1)], {}, [NETWORK])
    assert "| no arena | 1.00 (0.95–1.05) |" in level
