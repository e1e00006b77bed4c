"""Folders that commands write into: errors that say what to do, and nothing left of commands that never began."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.errors import MienError
from trainer.data.output import output_errors, sole_writer, whole_file


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(MienError, match=r"is a file.*Name another folder"), sole_writer(folder):
            pass
    assert (tmp_path / "out").read_text() == "mine"


def test_a_limit_of_file_sizes_is_told_from_a_folder_of_others(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(MienError, match=r"larger than .*ulimit -f"), whole_file(tmp_path / "big") as partial:
            partial.write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_and_a_used_up_quota_are_named(number: int) -> None:
    with (
        pytest.raises(MienError, match=r"disk is full, or this user's share.*give the same command again$"),
        output_errors(Path("file")),
    ):
        raise OSError(number, "no room")


def test_nothing_is_left_of_a_folder_in_which_nothing_began(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), sole_writer(tmp_path / "out"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def stop_after(work: Callable[[], object]) -> None:
    work()
    raise KeyboardInterrupt


def test_a_folder_that_was_there_or_holds_something_stays(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyboardInterrupt), sole_writer(tmp_path / "empty"):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), sole_writer(tmp_path / "out"):
        stop_after((tmp_path / "out" / "seed0").touch)
    assert (tmp_path / "empty").is_dir()
    assert (tmp_path / "out" / "seed0").is_file()
    with sole_writer(tmp_path / "done"):
        pass
    assert (tmp_path / "done").is_dir()


def test_a_lock_that_was_removed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process gave up, and removed the lock, between its opening here and its being taken."""
    import fcntl

    take = fcntl.flock
    taken: list[int] = []

    def late(lock: int, how: int) -> None:
        if not taken:
            (tmp_path / ".lock").unlink()
        taken.append(lock)
        take(lock, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with sole_writer(tmp_path):
        monkeypatch.undo()
        assert (tmp_path / ".lock").exists()
        with pytest.raises(MienError, match=r"another process is writing"), sole_writer(tmp_path):
            pass
