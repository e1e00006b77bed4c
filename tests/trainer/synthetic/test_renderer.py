"""Where OpenGL or its library is missing."""

from __future__ import annotations

import moderngl
import pytest

from mien.errors import MienError
from trainer.data.synthetic.assets import load_assets
from trainer.data.synthetic.renderer import Renderer


def test_a_missing_graphics_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise Exception("libEGL.so not loaded")

    monkeypatch.setattr(moderngl, "create_context", fail)
    with pytest.raises(MienError, match=r"libEGL.so not loaded.*apt install libegl1 libgl1 libgl1-mesa-dri"):
        Renderer(load_assets(), 32)
