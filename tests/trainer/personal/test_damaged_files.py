"""Files of a study with a byte that is not UTF-8, which JSON must be: named like every other damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.errors import MienError
from trainer.personal.claim import read_claim
from trainer.personal.measured import read_measured


@pytest.mark.parametrize(
    ("read", "name", "data"),
    [
        (read_claim, "study.json", b'{"data": "caf\xe9"}'),
        (read_measured, "measured.json", b'[{"key": ["caf\xe9", "", ""]}]'),
    ],
)
def test_a_byte_that_is_not_utf_8_is_named(tmp_path: Path, read: Callable[[Path], Any], name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MienError, match=rf"{name} cannot be read .*utf-8"):
        read(tmp_path)
