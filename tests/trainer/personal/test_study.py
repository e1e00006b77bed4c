"""The whole study in its smallest form: on rendered people, and on AMIGOS in its official layout."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mien.errors import MienError
from mien.models.cache import cache_folder
from tests.export.checkpoints import save_network, settled_network
from tests.trainer.data.layouts import write_affectnet_lists, write_amigos
from trainer.__main__ import app
from trainer.models import Outputs, build_network
from trainer.personal.general import choose_general
from trainer.personal.measured import FILE, read_measured
from trainer.personal.run import Options, run_study
from trainer.personal.settings import SIZES, Settings
from trainer.show import run_progress
from trainer.stages.checkpoint import load_card, save_checkpoint

RECIPE = """
name: tiny
title: A network that hardly learns
architecture: mobilenet_v1_48_w025
sources: {others: {real: affectnet, rendered: wild, count: 40, split: {kind: everything}}}
stages: {general: {data: others, target: affect, crop: {kind: uncropped}, loss: mse, epochs: 1, batch_size: 8}}
sizes: {smoke: {rendered: {side: 32}}}
"""
SETTINGS = msgspec.structs.replace(
    SIZES["smoke"]["rendered"],
    people=2,
    frames=20,
    side=32,
    folds=2,
    shares=(0.5,),
    few=(1, 2),
    no_transfer=msgspec.structs.replace(SIZES["smoke"]["rendered"].no_transfer, epochs=1, batch_size=8),
)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe, and a cache without renders and crops."""
    (tmp_path / "cache").mkdir()
    for name in ("models", "packages", "synthetic", "bundles"):
        (cache_folder() / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / name).symlink_to(cache_folder() / name)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return tmp_path / "tiny.yaml"


def run(recipe: Path | str, out: Path, data: str = "rendered", settings: Settings = SETTINGS) -> dict[str, Any]:
    options = Options(data=data, size="smoke", out=out, general=str(recipe), settings=settings)
    try:
        with run_progress() as shown:
            _, page = run_study(options, shown)
    except MienError as error:
        if "OpenGL" in error.problem:
            pytest.skip(str(error))
        raise
    found: dict[str, Any] = json.loads(page.with_suffix(".json").read_text())
    return found


def test_a_study_of_rendered_people_goes_on_where_it_stopped(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    first = run(recipe, out)
    arms = {entry["key"][2] for entry in first["entries"]}
    assert {"base", "no transfer", "sgd", "ridge", "lda", "recentre", "ridge, with gate"} <= arms
    assert {entry["key"][0] for entry in first["entries"]} >= {"curve", "few", "drift back", "class order"}
    for entry in first["entries"]:
        assert all(len(values) == 2 for values in entry["figures"].values())

    app(["report", str(out)], result_action="return_value")
    assert "Personal models (smoke), 2 people, on rendered people" in capsys.readouterr().out

    jobs = sorted(out.glob(f"seed0/*/{FILE}"))
    assert len(jobs) == 4
    kept, lost = jobs[0].stat().st_mtime_ns, jobs[-1]
    lost.unlink()
    again = run(recipe, out)
    assert jobs[0].stat().st_mtime_ns == kept
    assert lost.is_file()

    for one, other in zip(first["entries"], again["entries"], strict=True):
        assert one["key"] == other["key"]
        assert one["figures"]["valence_rmse"] == pytest.approx(other["figures"]["valence_rmse"], abs=1e-6)

    changed = msgspec.structs.replace(SETTINGS, frames=21)
    with pytest.raises(MienError, match=r"settings\.frames is 20 there, 21 here"):
        run(recipe, out, settings=changed)


def test_a_checkpoint_is_the_general_model_of_all_repetitions(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = msgspec.structs.replace(SETTINGS, people=1, shifts=(1.0,), few=(1,))
    trained = run(recipe, tmp_path / "first", settings=few)
    (tmp_path / "first/general").rename(tmp_path / "whole")
    checkpoint = tmp_path / "whole/seed0/general"

    def train(*_: object) -> None:
        raise AssertionError("a general model is trained")

    monkeypatch.setattr("trainer.personal.run.run_recipe", train)
    out, twice = tmp_path / "out", msgspec.structs.replace(few, seeds=2, seeds_without_transfer=2)
    found = run(str(checkpoint), out, settings=twice)
    assert found["seeds"] == 2
    assert sorted(path.parent.name for path in out.glob(f"seed*/*/{FILE}")) == ["100-learning"] * 2
    assert not (out / "general").exists()
    one, other = (
        {tuple(entry.key): entry.figures for entry in read_measured(folder / "seed0/100-learning") or []}
        for folder in (tmp_path / "first", out)
    )
    assert one.keys() == other.keys()
    for key, figures in one.items():
        assert other[key]["valence_rmse"] == pytest.approx(figures["valence_rmse"], abs=1e-6)
    divided = [read_measured(out / f"seed{seed}/100-learning") or [] for seed in range(2)]
    of_ridge = [next(row for row in rows if row.key == ("transfer", "frames", "ridge", "", 0.0)) for rows in divided]
    assert len({row.figures["valence_rmse"] for row in of_ridge}) == 2  # folds of their own

    assert "recipe tiny.yaml" in trained["general"]
    sha256 = load_card(checkpoint).sha256
    assert "checkpoint whole/seed0/general" in found["general"]
    assert sha256[:12] in found["general"]
    assert "--general whole/seed0/general" in found["command"]
    app(["report", str(out)], result_action="return_value")
    assert "RMSE with all labels < without transfer" in capsys.readouterr().out
    page = (out / "report.md").read_text()
    assert str(tmp_path) not in page + (out / "report.html").read_text()
    missing = [line for line in page.splitlines() if line.startswith("| ") and "without transfer" in line]
    assert missing
    assert all("– not measured" in line or "not judged" in line for line in missing)

    with pytest.raises(MienError, match=r"general is whole/seed0/general there, tiny\.yaml here"):
        run(recipe, out, settings=twice)
    card = load_card(checkpoint)
    save_checkpoint(checkpoint, build_network(card.architecture, card.outputs, 5, image_side=card.image_side), card)
    with pytest.raises(MienError, match=rf"checkpoint_sha256 is {sha256[:30]}.* there"):
        run(str(checkpoint), out, settings=twice)


def test_a_checkpoint_that_cannot_be_used_is_said_before_anything_runs(tmp_path: Path) -> None:
    place = tmp_path / "whole/seed0/general"
    place.mkdir(parents=True)
    with pytest.raises(MienError, match="headX"):
        choose_general(str(tmp_path / "whole/seed0/headX"))
    with pytest.raises(MienError, match="the recipe has no stage general"):
        choose_general("real_time")
    with pytest.raises(MienError, match="general holds no checkpoint"):
        run(str(place), tmp_path / "out")
    for labels, affect, problem in (
        (("anger", "fear"), ("valence",), "does not tell expressions, valence and arousal"),
        ((), ("valence", "arousal"), "does not tell expressions, valence and arousal"),
        (("anger", "fear"), ("valence", "arousal"), "lies in no run"),
    ):
        save_network(place, settled_network("mini_xception", Outputs(labels, affect), 0))  # type: ignore[arg-type]
        with pytest.raises(MienError, match=problem):
            run(str(place), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_study_of_amigos_has_no_classes_and_no_shifts(recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_affectnet_lists(root / "affectnet")
    write_amigos(root / "amigos")
    found = run(recipe, tmp_path / "out", str(root), msgspec.structs.replace(SETTINGS, frames=0))
    assert found["people"] == ["P01", "P12"]
    by_key = {tuple(entry["key"]): entry["figures"] for entry in found["entries"]}
    assert not any("accuracy" in figures for figures in by_key.values())
    assert ("later", "later", "ridge", "", 0.0) in by_key
    assert not any(key[0].startswith("drift") for key in by_key)
    assert str(tmp_path) not in (tmp_path / "out/report.html").read_text()


def test_too_few_people_are_said(recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_affectnet_lists(root / "affectnet")
    write_amigos(root / "amigos")
    with pytest.raises(MienError, match="videos of 2 people, not of 3"):
        run(recipe, tmp_path / "out", str(root), msgspec.structs.replace(SETTINGS, people=3))


def test_a_folder_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="is no folder") as caught, contextlib.suppress(SystemExit):
        app(["personal", "--data", str(tmp_path / "nowhere")])
    assert "affectnet and amigos" in caught.value.remedy
