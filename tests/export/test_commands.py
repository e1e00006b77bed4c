"""The command line of the export."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.__main__ import main
from mien.bundle import open_bundle
from mien.models.default_bundle import built_bundle


def mien_export(monkeypatch: pytest.MonkeyPatch, *words: object) -> str | int | None:
    """Give a command; returns what the process would end with."""
    monkeypatch.setattr("sys.argv", ["mien-export", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_the_packages_network_in_two_precisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    words = [built_bundle("fer2013"), "-o", out, "--precision", "fp32", "fp16", "--feature-map", "--name", "mine"]
    assert not mien_export(monkeypatch, "bundle", *words)
    bundle = open_bundle(out)
    bundle.verify()
    assert bundle.manifest.name == "mine"
    assert list(bundle.manifest.backbone.files) == ["fp32", "fp16"]
    said = capsys.readouterr()
    assert f"{out / 'backbone.fp16.onnx'}  0.11 MB" in said.out
    assert "mien-export: fp16: converting" in said.err


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = mien_export(monkeypatch, "bundle", tmp_path / "nothing", "-o", tmp_path / "bundle")
    assert str(said).startswith(f"mien-export: {tmp_path / 'nothing'} holds no checkpoint")
