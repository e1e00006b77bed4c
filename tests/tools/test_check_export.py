"""The check that builds exported files without a GPU: small networks in each precision; failures are counted."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_export.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    pytest.importorskip("tensorrt_rtx", reason="has wheels for x86_64 only")
    spec = importlib.util.spec_from_file_location("check_export", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(600)  # torch's exporter takes minutes to be read where others work
def test_a_network_that_fails_is_counted_and_the_others_are_built(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["check_export.py", "no_such_network", "mini_xception", "detector"])
    assert tool.main() == 1
    *lines, total = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("no_such_network")
    assert "FAILED: " in lines[0]
    assert [" ".join(line.split()[:2]) for line in lines[1:5]] == [
        f"mini_xception {one}" for one in ("fp32", "fp16", "int8", "mixed")
    ]
    assert lines[5].startswith("detector")
    assert total.endswith("5 files built, 1 failed")


def test_networks_of_many_layers_do_not_enlarge_roundings(tool: ModuleType) -> None:
    network = tool.settled("resnet50")
    pictures = torch.from_numpy(tool.noise(network)[:1])
    with torch.no_grad():
        found = network(pictures).embedding
        exact = copy.deepcopy(network).double()(pictures.double()).embedding
    assert (found - exact).abs().max() < 1e-5
    assert exact.abs().max() > 0.1
