"""What tells one Jetson from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.runtime.jetson import l4t_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n# KERNEL\n", "36.4.3"),
        ("# R35 (release), REVISION: 6.1, GCID: 39721438\n", "35.6.1"),
        ("something new\nsecond line\n", "something new"),
        ("", ""),
    ],
)
def test_the_release_file(tmp_path: Path, text: str, version: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(text)
    assert l4t_version(tmp_path) == version


def test_no_jetson(tmp_path: Path) -> None:
    assert l4t_version(tmp_path) == ""
