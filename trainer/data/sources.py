"""The sources of a recipe as data sets: real ones below a root, or their rendered stand-ins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trainer.data.sample import Dataset, Tell
from trainer.stages.recipe import Source


def open_source(name: str, sources: Mapping[str, Source], root: Path | None, side: int, tell: Tell) -> Dataset:
    """Open a source of a recipe, with those that are joined to it.

    Args:
        name: of the source.
        sources: of the recipe, by name.
        root: folder that holds a folder for each data set; None renders the stand-ins into the cache folder.
        side: of rendered pictures, pixels.
        tell: told how many pictures are rendered.

    Raises:
        MienError: a folder below the root is missing or not what it should be, or rendering is not possible here.
    """
    raise NotImplementedError
