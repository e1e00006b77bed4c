"""The sources of a recipe as data sets: real ones below a root, or their rendered stand-ins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.models.cache import cache_folder
from trainer.data.catalogue import ENTRIES, open_dataset
from trainer.data.output import sole_writer
from trainer.data.sample import Dataset, Sample, Subset, Tell
from trainer.data.sets.renders import open_renders
from trainer.data.shards import open_shards
from trainer.data.synthetic.dataset import VERSION, render
from trainer.data.synthetic.domains import find_domain
from trainer.stages.recipe import Source

_RENDER_PROCESSES = 2


def open_source(name: str, sources: Mapping[str, Source], root: Path | None, side: int, tell: Tell | None) -> Dataset:
    """Open a source of a recipe, with those that are joined to it; those that are joined to these are not.

    Args:
        name: of the source.
        sources: of the recipe, by name.
        root: folder that holds a folder for each data set, in its official layout or packed as shards; None renders
            the stand-ins, as far as they are missing, into the cache folder. Shards of a variant, as ck+:6-small, may
            be in a folder of that name.
        side: of rendered pictures, pixels.
        tell: told how many pictures are rendered; None = nothing is rendered.

    Raises:
        MienError: a folder below the root is missing or not what it should be, no picture has one of the expressions
            that are used or shows a head turned so far, or rendering is not possible here or not wanted.
    """
    source = sources[name]
    parts = {part: _open(sources[part], root, side, tell) for part in (name, *source.more)}
    whole = Joined(parts) if source.more else parts[name]
    used = whole if source.classes is None else _only(whole, source.classes)
    return used if source.yaw is None else _turned(used, *source.yaw)


def check_folders(names: Iterable[str], sources: Mapping[str, Source], root: Path) -> None:
    """Check that the root has a folder for each of these sources and what is joined to them.

    Args:
        names: of the sources.
        sources: of the recipe, by name.
        root: as for `open_source`.

    Raises:
        MienError: some folders are missing; all of them are named.
    """
    parts = (sources[part] for name in names for part in (name, *sources[name].more))
    missing = [real for real in dict.fromkeys(part.real for part in parts) if _folder(real, root) is None]
    if len(missing) == 1:
        raise _missing(missing[0], root)
    if missing:
        raise MienError(
            f"{root} has no folders {', '.join(dict.fromkeys(real.partition(':')[0] for real in missing))}, which must "
            f"hold the data sets {', '.join(missing)}",
            "Put them there in their official layouts, or packed by mien-train data shards, or run some stages --only",
        )


class Joined(Dataset):
    """Several data sets one after the other; the name of each stands before its people and sequences.

    Args:
        parts: by name.
    """

    def __init__(self, parts: Mapping[str, Dataset]) -> None:
        self.name = " + ".join(part.name for part in parts.values())
        self.left_out = {
            f"{part.name}: {reason}": count for part in parts.values() for reason, count in part.left_out.items()
        }
        self._parts = list(parts.items())
        self._ends = np.cumsum([len(part) for part in parts.values()])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._ends, index, side="right"))
        name, part = self._parts[number]
        sample = part[index - int(self._ends[number]) + len(part)]
        return replace(sample, person=_prefixed(name, sample.person), sequence=_prefixed(name, sample.sequence))


def _prefixed(name: str, what: str | None) -> str | None:
    return None if what is None else f"{name}/{what}"


def _only(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The samples with one of these expressions."""
    expressions = dataset.labels.expression
    wanted = [place for place, name in enumerate(expressions.names) if name in classes]
    used = np.flatnonzero(np.isin(expressions.places, wanted))
    if not len(used):
        raise MienError(
            f"{dataset.name} has no picture of {', '.join(classes)}", "Name expressions (classes) that it has"
        )
    subset = Subset(dataset, used)
    others = len(dataset) - len(used)
    subset.left_out = dict(dataset.left_out) | ({"expressions that are not used": others} if others else {})
    return subset


def _turned(dataset: Dataset, low: float, high: float) -> Dataset:
    """The samples whose heads are turned by at least `low` and less than `high` degrees to either side."""
    yaws = np.array([np.nan if sample.yaw is None else abs(sample.yaw) for sample in dataset])
    used = np.flatnonzero((yaws >= low) & (yaws < high))
    if not len(used):
        raise MienError(
            f"{dataset.name} has no picture of a head that is known to be turned by {low:g} to {high:g} degrees (yaw)",
            "Use it as it is, without yaw",
        )
    subset = Subset(dataset, used)
    subset.left_out = {**dataset.left_out, "heads turned by another angle": len(dataset) - len(used)}
    return subset


def _open(source: Source, root: Path | None, side: int, tell: Tell | None) -> Dataset:
    """One source, without what is joined to it."""
    return _rendered(source, side, tell) if root is None else _real(source.real, root)


def _rendered(source: Source, side: int, tell: Tell | None) -> Dataset:
    domain, _, selection = source.rendered.partition(":")
    count = source.count or find_domain(domain).count
    name = f"{domain}-v{VERSION}-{side}px-seed{source.seed}"
    folder = cache_folder() / "renders" / name
    if tell is not None:
        # A lock of our own: of several processes that train together the first renders, and the others wait for it.
        with sole_writer(cache_folder() / "renders" / f".{name}", wait=True):
            workers = _RENDER_PROCESSES
            render(domain, folder, count=count, side=side, seed=source.seed, workers=workers, progress=tell)
    return open_renders(folder, selection or None, count)


def _real(name: str, root: Path) -> Dataset:
    below, _, variant = name.partition(":")
    if name not in ENTRIES:
        raise MienError(f"There is no data set called {name}", f"Known are {', '.join(ENTRIES)}")
    folder = _folder(name, root)
    if folder is None:
        raise _missing(name, root)
    if (folder / "index.json").is_file():
        return open_shards(folder) if folder.name == name else _packed(name, folder, variant)
    if not ENTRIES[name].is_file:
        return open_dataset(name, folder)
    files = sorted(folder.glob(f"*.{below}"))
    if len(files) != 1:
        raise MienError(f"{folder} holds {len(files)} {below} files instead of one", "Leave the one to be read there")
    return open_dataset(name, files[0])


def _folder(name: str, root: Path) -> Path | None:
    """Where a data set is: shards of a variant in a folder of its full name, else the folder of the set."""
    if (root / name / "index.json").is_file():
        return root / name
    folder = root / name.partition(":")[0]
    return folder if folder.is_dir() else None


def _missing(name: str, root: Path) -> MienError:
    return MienError(
        f"{root} has no folder {name.partition(':')[0]}, which must hold the data set {name}",
        f"Put the data set there in its official layout, or pack it: mien-train data shards {name} … {root / name}",
    )


def _packed(name: str, folder: Path, variant: str) -> Dataset:
    dataset = open_shards(folder)
    if variant and not dataset.name.endswith(variant):
        raise MienError(
            f"{folder} holds shards of {dataset.name}, not of {name}",
            f"Put the data set itself there, or pack this one into {folder.with_name(name)}",
        )
    return dataset
