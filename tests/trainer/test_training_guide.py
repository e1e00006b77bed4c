"""docs/training.md says what is so: its example runs, its tables name every key, default and option."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml

from mien.bundle import CANONICAL_LABELS
from mien.errors import MienError
from mien.models.cache import cache_folder
from trainer import commands
from trainer.__main__ import app
from trainer.data.augmentation import PRESETS
from trainer.data.sets.table import COLUMNS
from trainer.data.synthetic.domains import DOMAINS
from trainer.stages.recipe import Source, Split, Stage
from trainer.stages.recipe_file import load_recipe, resolve

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/training.md").read_text("utf-8")
EXAMPLE = GUIDE.partition("```yaml\n")[2].partition("```")[0]


def section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def words(kind: object) -> Iterator[str]:
    """All words that a value of that kind, or a key below it, may be."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield from words(field.type)
    elif typing.get_origin(kind) is typing.Literal:
        yield from typing.get_args(kind)
    elif typing.get_origin(kind) in (typing.Union, types.UnionType):
        for part in typing.get_args(kind):
            yield from words(part)


@pytest.mark.parametrize(("title", "kind"), [("Sources", Source), ("Splits", Split), ("Stages", Stage)])
def test_the_keys_and_defaults_are_those_of_recipes(title: str, kind: type[msgspec.Struct]) -> None:
    fields = msgspec.structs.fields(kind)
    table = rows(title)
    assert [key for key, _, _ in table] == [f"`{field.encode_name}`" for field in fields]
    for field, (_, default, what) in zip(fields, table, strict=True):
        if field.required:
            assert default == "", field.name
            continue
        assert msgspec.convert(yaml.safe_load(default.strip("`")), field.type) == field.default, field.name
        if field.type is not Split:  # which has a table of its own
            missing = {f"`{word}`" for word in words(field.type)} - set(re.findall("`[^`]+`", what))
            assert not missing, field.name


def test_all_domains_presets_columns_and_expressions_are_named() -> None:
    assert all(f"`{name}`" in section("Sources") for name in DOMAINS)
    assert all(f"`{name}`" in section("Stages") for name in PRESETS)
    assert all(f"`{name}`" in section("Data") for name in (*COLUMNS, *CANONICAL_LABELS))


def test_the_options_are_those_of_the_command() -> None:
    parameters = inspect.signature(commands.run).parameters.values()
    options = {f"`--{one.name.replace('as_json', 'json')}`" for one in parameters if one.kind is one.KEYWORD_ONLY}
    table = [option for option, _ in rows("Running")]
    assert sorted(table) == sorted(options)


def test_the_example_is_a_recipe_on_real_data_too(tmp_path: Path) -> None:
    (tmp_path / "my_recipe.yaml").write_text(EXAMPLE)
    recipe = load_recipe(str(tmp_path / "my_recipe.yaml"))
    assert len(EXAMPLE.splitlines()) <= 10
    resolved, _ = resolve(recipe, "study", is_rendered=False)
    assert resolved.stages["fine"].start == "coarse"


@pytest.fixture
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache without renders."""
    (tmp_path / "cache").mkdir()
    for name in ("models", "packages", "synthetic", "bundles"):
        (cache_folder() / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / name).symlink_to(cache_folder() / name)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_cache")
def test_the_example_runs_on_rendered_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = EXAMPLE.replace("count: 2000", "count: 64").replace("epochs: 10", "epochs: 1")
    small = small.replace("mobilenet_v1_48", "mobilenet_v1_48_w025").replace(
        "rendered: lab_b", "rendered: lab_b, count: 42"
    )
    small += "sizes: {smoke: {rendered: {side: 48}}}\n"
    (tmp_path / "my_recipe.yaml").write_text(small)
    out = tmp_path / "out"
    try:
        with contextlib.suppress(SystemExit):
            app(["run", str(tmp_path / "my_recipe.yaml"), "--data", "rendered", "--out", str(out)])
    except MienError as error:
        if "OpenGL" in error.problem:
            pytest.skip(str(error))
        raise
    assert "fine" in capsys.readouterr().out
    assert (out / "seed0/coarse/card.json").is_file()
    assert (out / "seed0/fine/card.json").is_file()
    assert json.loads((out / "report.json").read_text())["stages"][1]["lineage"] == "rendered wild → rendered lab_b"
