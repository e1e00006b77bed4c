"""JSON lines on disk."""

from __future__ import annotations

import json
import resource

import msgspec
import pytest

from mien.errors import MienError
from mien.recording.lines import LineWriter


class Record(msgspec.Struct):
    number: int
    text: str = "x" * 50


def test_a_line_is_on_disk_as_soon_as_it_is_written(tmp_path) -> None:
    writer = LineWriter(tmp_path / "lines")
    for number in range(3):
        writer.write(Record(number))
        assert [json.loads(line)["number"] for line in (tmp_path / "lines").open()] == list(range(number + 1))
    writer.close()


def test_a_full_disk_leaves_whole_lines_and_writing_goes_on_when_there_is_room_again(tmp_path) -> None:
    writer = LineWriter(tmp_path / "lines")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system writes as much as fits and then refuses, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        writer.write(Record(0))
        writer.write(Record(1))
        with pytest.raises(OSError, match="full"):
            writer.write(Record(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.write(Record(3))
    writer.close()
    numbers = [json.loads(line)["number"] for line in (tmp_path / "lines").read_text().splitlines()]
    assert numbers == [0, 1, 3]


def test_a_file_that_cannot_be_made_is_named(tmp_path) -> None:
    with pytest.raises(MienError, match="missing/lines"):
        LineWriter(tmp_path / "missing" / "lines")
