"""Where OpenGL or its library is missing."""

from __future__ import annotations

import moderngl
import numpy as np
import pytest

from mien.errors import MienError
from tests.trainer.synthetic.conftest import SIDE
from trainer.data.synthetic.assets import load_assets
from trainer.data.synthetic.domains import find_domain
from trainer.data.synthetic.renderer import Renderer
from trainer.data.synthetic.studio import Studio


def test_a_missing_graphics_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise Exception("libEGL.so not loaded")

    monkeypatch.setattr(moderngl, "create_context", fail)
    with pytest.raises(MienError, match=r"libEGL.so not loaded.*apt install libegl1 libgl1 libgl1-mesa-dri"):
        Renderer(load_assets(), 32)


def test_studios_of_several_sides_draw_in_turns(small_studio: Studio) -> None:
    """Each has a graphics context of its own; the one made last is the current one until another is told to be."""
    domain = find_domain("lab_b")
    scenes = {side: domain.plan(domain, 0, 0, side).scene for side in (SIDE, 32, 64)}
    before = small_studio.shoot(scenes[SIDE]).image
    others = {side: Studio(side) for side in (32, 64)}
    first = {side: studio.shoot(scenes[side]).image for side, studio in others.items()}
    np.testing.assert_array_equal(small_studio.shoot(scenes[SIDE]).image, before)
    for side, studio in others.items():
        assert first[side].std() > 10
        np.testing.assert_array_equal(studio.shoot(scenes[side]).image, first[side])
