"""Every data set by name, as the command line and recipes call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mien.errors import MienError
from trainer.data.sample import Dataset
from trainer.data.sets.affectnet import open_affectnet
from trainer.data.sets.amigos import open_amigos
from trainer.data.sets.ck_plus import SELECTIONS, open_ck_plus
from trainer.data.sets.fer2013 import open_fer2013, open_fer_plus
from trainer.data.sets.folders import open_expression_folders, open_imagenet
from trainer.data.sets.jaffe import open_jaffe
from trainer.data.sets.ms_celeb import open_ms_celeb
from trainer.data.sets.raf_db import open_raf_db
from trainer.data.sets.renders import open_renders
from trainer.data.sets.sfew import open_sfew
from trainer.data.sets.table import open_table
from trainer.data.sets.vggface2 import open_vggface2


@dataclass(frozen=True)
class Entry:
    """How a data set is opened: from a folder, or from one file."""

    open: Callable[[Path], Dataset]
    is_file: bool = False


ENTRIES: dict[str, Entry] = {
    "ck+": Entry(open_ck_plus),
    **{f"ck+:{selection}": Entry(partial(open_ck_plus, selection=selection)) for selection in SELECTIONS},
    "jaffe": Entry(open_jaffe),
    "fer2013": Entry(open_fer2013),
    "fer+": Entry(open_fer_plus),
    "affectnet": Entry(open_affectnet),
    "sfew": Entry(open_sfew),
    "sfew:aligned": Entry(partial(open_sfew, pictures="aligned")),
    "raf-db": Entry(open_raf_db),
    "raf-db:original": Entry(partial(open_raf_db, pictures="original")),
    "amigos": Entry(open_amigos),
    "vggface2": Entry(open_vggface2),
    "ms-celeb": Entry(open_ms_celeb),
    "imagenet": Entry(open_imagenet),
    "renders": Entry(open_renders),
    **{f"renders:{selection}": Entry(partial(open_renders, selection=selection)) for selection in SELECTIONS},
    "folder": Entry(open_expression_folders),
    "csv": Entry(open_table, is_file=True),
}


def open_dataset(name: str, path: Path) -> Dataset:
    """Open a data set.

    Args:
        name: one of `ENTRIES`.
        path: its folder, or its file where it is one.

    Raises:
        MienError: the name is unknown, the path is missing or must not be read, or what is there is not that data set.
    """
    if name not in ENTRIES:
        raise MienError(f"There is no data set called {name}", f"Known are {', '.join(ENTRIES)}")
    entry = ENTRIES[name]
    if not (path.is_file() if entry.is_file else path.is_dir()):
        kind = "file" if entry.is_file else "folder"
        if path.exists():
            raise MienError(f"{path} is no {kind}", f"Name the {kind} of {name}")
        raise MienError(f"{path} does not exist", f"Name the {kind} that holds {name}")
    try:
        return entry.open(path)
    except OSError as error:
        raise MienError(
            f"{error.filename or path} cannot be read ({error.strerror})", "Give this user the right to read it"
        ) from error
