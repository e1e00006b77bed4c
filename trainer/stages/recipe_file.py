"""Recipe files: read, checked, and changed for a size; every mistake is named by file and key."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import reduce
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import inspect

from mien.errors import MienError
from trainer.stages.checkpoint import check_architecture, load_card
from trainer.stages.recipe import Arm, Name, Pattern, Recipe, Row, Size, Sizes, Source, Stage
from trainer.stages.recipe_checks import check_known, check_recipe, in_order
from trainer.stages.yaml_text import read_yaml, write_yaml

_Kind = TypeVar("_Kind")
_Layer = dict[str, Any]

_EMPTY: dict[type, _Layer] = {
    Stage: msgspec.to_builtins(Stage(data="")),
    Source: msgspec.to_builtins(Source(real="", rendered="")),
}
"""What layers of keys lie on, so that `crop: {margin: 0.2}` is a change of the usual crop."""


def built_in_recipes() -> dict[str, str]:
    """Title of each recipe that comes with mien, by name."""
    return {name: str(read_yaml(path)["title"]) for name, path in _built_in().items()}


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe and check it as it stands and in every size; `every` is merged into its stages.

    Args:
        name_or_path: name of a recipe that comes with mien, or path of a .yaml file.

    Raises:
        MienError: there is no such recipe, or something in it is wrong; file and key are named.
    """
    path = _built_in().get(name_or_path, Path(name_or_path))
    if not path.suffix and not path.exists():
        check_known("", name_or_path, _built_in(), "recipe")
    raw = read_yaml(path)  # its errors name the file
    with _within(f"{path}, "):
        recipe = _parse(raw)
        check_recipe(recipe, recipe.stages)
        for size in ("smoke", "study"):
            for data in getattr(recipe.sizes, size):
                _change(recipe, size, data)
    return recipe


def recipe_text(name: str) -> str:
    """The file of a recipe that comes with mien.

    Raises:
        MienError: there is none of that name.
    """
    check_known("", name, _built_in(), "recipe")
    return _built_in()[name].read_text("utf-8")


def resolve(
    recipe: Recipe, size: Literal["smoke", "study"], is_rendered: bool, file: str | None = None
) -> tuple[Recipe, Size]:
    """The recipe as it is run in a size: its changes made, stages left out, the rest in the order of their starts.

    Rows of tables and arms of trends that name stages or tests left out stay. Of the sizes only that one stays, with
    nothing to change any more. A recipe without that size runs as it stands.

    Args:
        recipe: as it was loaded.
        size: that is wanted.
        is_rendered: whether rendered people stand in for the data sets.
        file: that the recipe was loaded from, for errors; None names the recipe alone.

    Raises:
        MienError: what results cannot be run; file and key are named.
    """
    with _within(f"{file or recipe.name}, "):
        resolved, chosen = _change(recipe, size, "rendered" if is_rendered else "real")
        for name, stage in resolved.stages.items():
            if stage.start.startswith("checkpoint:"):
                with _within(f"stages.{name}.from: "):
                    folder = Path(stage.start.removeprefix("checkpoint:"))
                    check_architecture(folder, load_card(folder), stage.architecture or resolved.architecture)
    return resolved, chosen


def dump_recipe(recipe: Recipe) -> str:
    """A recipe as yaml text that `load_recipe` reads again, without what needs stages or tests that are left out."""
    ensembles = {name: one for name, one in recipe.ensembles.items() if recipe.stages.keys() >= set(one.members)}

    def is_there(arm: Arm | Row) -> bool:
        members = [recipe.stages.get(name) for name in recipe.members(arm.stage)]
        return all(one is not None and arm.test in ("", one.data, *one.tests) for one in members)

    tables = tuple(
        msgspec.structs.replace(table, rows=tuple(row for row in table.rows if is_there(row)))
        for table in recipe.tables
    )
    trends = tuple(trend for trend in recipe.trends if is_there(trend.first) and is_there(trend.second))
    kept = msgspec.structs.replace(recipe, ensembles=ensembles, tables=tables, trends=trends)
    return write_yaml(msgspec.to_builtins(kept))


def _built_in() -> dict[str, Path]:
    folder = Path(str(resources.files("trainer"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _parse(raw: Any) -> Recipe:
    """A recipe from the file's dicts and lists."""
    if not isinstance(raw, dict):
        raise MienError("it holds no recipe", "Begin it with the keys name, title, architecture, sources and stages")
    _check_keys(raw, inspect.type_info(Recipe), "")
    every = _convert(raw.get("every", {}), _Layer, "every")
    _check_layer(every, Stage, "every")
    _check_sizes(raw.get("sizes", {}))
    sources = {name: _convert(value, Source, key) for name, key, value in _named(raw.get("sources", {}), "sources")}
    stages = {name: _stage(key, every, value) for name, key, value in _named(raw.get("stages", {}), "stages")}
    recipe = _convert({**raw, "sources": {}, "stages": {}}, Recipe, "")
    return msgspec.structs.replace(recipe, sources=sources, stages=in_order(stages))


def _check_sizes(raw: Any) -> None:
    """Check the types in all sizes one by one, as conversion at once does not say in which one they are wrong."""
    for _, size_key, kinds in _named(raw, "sizes"):
        for _, key, size in _named(kinds, size_key):
            list(_named(size.get("sources", {}), f"{key}.sources"))
            list(_named(size.get("stages", {}), f"{key}.stages", Pattern))
            _convert(size, Size, key)


def _named(value: Any, key: str, kind: Any = Name) -> Iterator[tuple[str, str, _Layer]]:
    """Name, key and keys below it of each part of a mapping by name."""
    for name, part in _convert(value, _Layer, key).items():
        _convert(name, kind, f"{key}.{name}")
        yield name, f"{key}.{name}", _convert(part, _Layer, f"{key}.{name}")


def _change(recipe: Recipe, size: str, data: str) -> tuple[Recipe, Size]:
    """The recipe with the changes of a size, and that size; checked."""
    chosen: Size = getattr(recipe.sizes, size).get(data, Size())
    key = f"sizes.{size}.{data}"
    _check_size(recipe, chosen, key)
    sources = {
        name: _convert(_merge(_plain(source), chosen.sources.get(name, {})), Source, f"{key}.sources.{name}")
        for name, source in recipe.sources.items()
    }
    stages = in_order(
        {
            name: _stage(f"{key}.stages.{name}", _plain(stage), chosen.every, *_layers_for(name, chosen))
            for name, stage in recipe.stages.items()
        }
    )
    left_out = [name for name in stages if any(fnmatchcase(name, pattern) for pattern in chosen.leave_out)]
    resolved = msgspec.structs.replace(
        recipe,
        architecture=chosen.architecture or recipe.architecture,
        sources=sources,
        every={},
        stages=_without(stages, left_out, chosen.no_tests_on),
        sizes=_convert({size: {data: {"seeds": chosen.seeds, "side": chosen.side}}}, Sizes, key),
    )
    with _within(f"with {key}, "):
        check_recipe(resolved, stages)
    return resolved, chosen


def _check_size(recipe: Recipe, size: Size, key: str) -> None:
    _check_layer(size.every, Stage, f"{key}.every")
    for name, layer in size.sources.items():
        check_known(f"{key}.sources.{name}", name, recipe.sources, "source")
        _check_layer(layer, Source, f"{key}.sources.{name}")
    for name, layer in size.stages.items():
        _check_pattern(f"{key}.stages.{name}", name, recipe)
        _check_layer(layer, Stage, f"{key}.stages.{name}")
    for name in size.leave_out:
        _check_pattern(f"{key}.leave_out", name, recipe)
    for name in size.no_tests_on:
        check_known(f"{key}.no_tests_on", name, recipe.sources, "source")


def _check_pattern(key: str, pattern: str, recipe: Recipe) -> None:
    if not any(fnmatchcase(name, pattern) for name in recipe.stages):
        check_known(key, pattern, recipe.stages, "stage")


def _layers_for(name: str, size: Size) -> Iterator[_Layer]:
    return (layer for pattern, layer in size.stages.items() if fnmatchcase(name, pattern))


def _without(stages: Mapping[str, Stage], left_out: Collection[str], untested: Collection[str]) -> dict[str, Stage]:
    """The stages, in order, without some and all that start from them, and without tests on some sources."""
    gone = set(left_out)
    for name, stage in stages.items():
        if stage.start in gone:
            gone.add(name)
    return {
        name: msgspec.structs.replace(stage, tests=tuple(test for test in stage.tests if test not in untested))
        for name, stage in stages.items()
        if name not in gone
    }


def _stage(key: str, *layers: _Layer) -> Stage:
    """A stage from layers of keys, of which later ones win."""
    usual = {name: value for name, value in _EMPTY[Stage].items() if name != "data"}
    return _convert(reduce(_merge, layers, usual), Stage, key)


def _check_layer(layer: _Layer, kind: type[Stage | Source], key: str) -> None:
    """Check the keys and values that a stage or source may get, so that a mistake is named where it stands."""
    _check_keys(layer, inspect.type_info(kind), key)
    _convert(_merge(_EMPTY[kind], layer), kind, key)


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _merge(below.get(key), value) for key, value in above.items()}}
    return above


def _plain(struct: msgspec.Struct) -> _Layer:
    """Its keys and values, of which changes are made as of a file's."""
    plain: _Layer = msgspec.to_builtins(struct)
    return plain


def _check_keys(value: Any, kind: inspect.Type, key: str) -> None:
    """Check all keys and words that have to be one of a few; whatever else is wrong, conversion finds."""
    if isinstance(kind, inspect.UnionType):
        for one in kind.types:
            _check_keys(value, one, key)
    elif isinstance(kind, inspect.LiteralType) and isinstance(value, str):
        check_known(key, value, [str(word) for word in kind.values], "value")
    elif isinstance(kind, inspect.VarTupleType) and isinstance(value, list):
        for number, part in enumerate(value):
            _check_keys(part, kind.item_type, f"{key}[{number}]")
    elif isinstance(kind, inspect.DictType) and isinstance(value, dict):
        for name, part in value.items():
            _check_keys(name, kind.key_type, f"{key}.{name}")
            _check_keys(part, kind.value_type, f"{key}.{name}")
    elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in kind.fields}
        for name, part in value.items():
            inner = f"{key}.{name}".lstrip(".")
            check_known(inner, str(name), fields, "key")
            _check_keys(part, fields[str(name)], inner)


def _convert(value: Any, kind: type[_Kind], key: str) -> _Kind:
    """A value of that kind; an error names the key."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `")
        place = "" if place.startswith("key") else place.strip("$`")
        is_text_wanted = problem.startswith("Expected `str`, got")
        found = _value_at(value, place)
        if found is not None and not isinstance(found, (dict, list)) and problem.startswith("Expected"):
            problem = f"{found!r} is wrong, {problem.replace('Expected', 'expected', 1)}"
        where = f"{key}{place}".lstrip(".")
        remedy = "Put it in quotes" if is_text_wanted else "Add it" if "missing" in problem else "Correct it"
        raise MienError(f"{where}: {problem}" if where else problem, remedy) from error


def _value_at(value: Any, place: str) -> Any:
    """What stands at a place as msgspec names it, as ".rows[0].name"; None where the place is not fully named."""
    for name, number in re.findall(r"\.(\w+)|\[([^]]*)\]", place):
        if name and isinstance(value, dict):
            value = value.get(name)
        elif number.isdigit() and isinstance(value, list):
            value = value[int(number)]
        else:
            return None
    return value


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Say where in front of what is wrong."""
    try:
        yield
    except MienError as error:
        raise MienError(f"{place}{error.problem}", error.remedy) from error
