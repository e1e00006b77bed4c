"""One studio for all tests; a machine without EGL skips what needs pictures, and says what to install."""

from __future__ import annotations

import pytest

from mien.errors import MienError
from trainer.data.synthetic.sample import studio
from trainer.data.synthetic.studio import Studio

SIDE = 96


@pytest.fixture(scope="session")
def small_studio() -> Studio:
    try:
        return studio(SIDE)
    except MienError as error:
        if "OpenGL" not in error.problem:
            raise
        pytest.skip(str(error))
