"""Recipe files: read, checked, and changed for a size; every mistake is named by file and key."""

from __future__ import annotations

from typing import Literal

from trainer.stages.recipe import Recipe, Size


def built_in_recipes() -> dict[str, str]:
    """Title of each recipe that comes with mien, by name."""
    raise NotImplementedError


def load_recipe(name_or_path: str) -> Recipe:
    """Read and check a recipe; `every` is merged into its stages.

    Args:
        name_or_path: name of a recipe that comes with mien, or path of a .yaml file.

    Raises:
        MienError: there is no such recipe, or something in it is wrong; file and key are named.
    """
    raise NotImplementedError


def resolve(recipe: Recipe, size: Literal["smoke", "study"], is_rendered: bool) -> tuple[Recipe, Size]:
    """The recipe as it is run in a size: its changes made, stages left out, the rest in the order of their starts.

    Rows of tables and arms of trends that name stages left out stay. A recipe without that size runs as it stands.

    Raises:
        MienError: what results cannot be run; the key is named.
    """
    raise NotImplementedError


def dump_recipe(recipe: Recipe) -> str:
    """A recipe as yaml text that `load_recipe` reads again."""
    raise NotImplementedError
