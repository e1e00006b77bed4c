"""People whom every test starts with anew: nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.personal.people import People
from tests.personal.small_people import open_people


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    opened = open_people(tmp_path / "people")
    yield opened
    opened.close()
