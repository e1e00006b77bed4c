"""Fixtures for the host side's tests."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Torch takes one core: tests run beside each other, and numbers do not depend on the machine's cores."""
    if "torch" in sys.modules:  # loaded by whoever needs it, before any test runs
        sys.modules["torch"].set_num_threads(1)
