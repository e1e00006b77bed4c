"""Heads on the graphics interface: OpenGL without a screen, on the processor where there is no graphics card."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError, require
from trainer.data.synthetic.appearance import Appearance, Creases, Light, Worn
from trainer.data.synthetic.assets import HeadAssets
from trainer.data.synthetic.camera import Camera
from trainer.data.synthetic.glasses import Glasses
from trainer.data.synthetic.grain import make_grain

Floats = NDArray[np.float32]

_PARTS_OF_SURFACE = {
    "SKIN": ("skin",),
    "EYES": ("left_eye", "right_eye"),
    "MOUTH": ("teeth", "tongue"),
    "LASHES": ("lashes",),
    "LONG_HAIR": ("long_hair",),
}
"""What each program of fragment.glsl draws; hair cap and face mask are parts of the skin once more, lifted."""

_VERTEX_FORMAT = ("3f 3f", "position", "normal"), ("3f 2f 1f", "rest_position", "texture_position", "part_number")


class Picture(NamedTuple):
    """A head before a transparent background.

    Attributes:
        colour: float32 (side, side, 3), BGR, 0 to 1, already weighted with `cover`.
        cover: float32 (side, side, 1), how much of each pixel the head covers, 0 to 1.
        distance: float32 (n, n), n at least 1.5 sides, of what is seen along the axis of view, decimetres.
    """

    colour: Floats
    cover: Floats
    distance: Floats


class Renderer:
    """Draws heads; used by one thread at a time.

    Args:
        assets: the head.
        side: of the pictures, pixels.

    Raises:
        MienError: OpenGL cannot be had without a screen.
    """

    def __init__(self, assets: HeadAssets, side: int) -> None:
        # llvmpipe: threads of its own make it slower on small pictures and fight with other processes.
        os.environ.setdefault("LP_NUM_THREADS", "1")
        self._moderngl: Any = require("moderngl", "render")
        self.side = side
        self._assets = assets
        self._context = _open_context(self._moderngl)
        skin = assets.triangles_of("skin")
        lowest = assets.positions[assets.corner_vertex[skin]].min(axis=1)
        triangles = {
            "HAIR_CAP": skin[lowest[:, 1] > 6.25],
            "FACE_MASK": skin[(lowest[:, 1] > 5.9) & (lowest[:, 2] > 0.4)],
            **{
                surface: np.concatenate([assets.triangles_of(part) for part in parts])
                for surface, parts in _PARTS_OF_SURFACE.items()
            },
        }
        self._programs = {surface: self._compile(surface) for surface in (*triangles, "GLASSES")}
        self._known = {program: frozenset(program) for program in self._programs.values()}
        self._moving = self._context.buffer(reserve=len(assets.corner_vertex) * 24, dynamic=True)
        still = np.column_stack([assets.positions[assets.corner_vertex], assets.corner_uv, assets.corner_part])
        self._still = self._context.buffer(still.astype(np.float32).tobytes())
        self._arrays = {
            surface: self._vertex_array(surface, self._moving, self._still, corners)
            for surface, corners in triangles.items()
        }
        self._normals = _NormalSmoother(assets)
        for number, (name, texels) in enumerate((("masks", assets.masks), ("grain", make_grain()))):
            texture = self._context.texture(texels.shape[1::-1], 4, np.ascontiguousarray(texels).tobytes())
            texture.build_mipmaps()
            texture.filter = self._moderngl.LINEAR_MIPMAP_NEAREST, self._moderngl.LINEAR
            texture.use(number)
            for program in self._programs.values():
                if name in program:
                    program[name] = number
        # More samples than pixels, so that edges are smooth; larger pictures need fewer to look it.
        self._drawn_side = 2 * side if side <= 96 else 3 * side // 2
        pixels = (self._drawn_side, self._drawn_side)
        self._frame = self._context.framebuffer([self._context.texture(pixels, 4)], self._context.depth_texture(pixels))

    def draw(
        self,
        vertices: Floats,
        camera: Camera,
        appearance: Appearance,
        light: Light,
        creases: Creases,
        worn: Worn,
        glasses: Glasses | None,
    ) -> Picture:
        """Draw a head.

        Args:
            vertices: float32 (V, 3), positions with shape and expression, decimetres.
            camera: from where.
            appearance: of the person.
            light: of the picture.
            creases: of the expression.
            worn: what covers the face.
            glasses: their mesh, or None.
        """
        with self._context:  # another renderer's may be the current one
            self._write(vertices)
            # What covers the skin comes first: pixels behind it are then never computed.
            surfaces = ["SKIN", "EYES", "MOUTH", "LASHES"]
            surfaces[:0] = ["LONG_HAIR"] * appearance.has_long_hair + ["HAIR_CAP"] * appearance.has_hair_cap
            surfaces[:0] = ["FACE_MASK"] * worn.face_mask
            values = [pair for source in (appearance, light, creases, worn) for pair in vars(source).items()]
            for surface in [*surfaces, "GLASSES"]:
                self._set(self._programs[surface], camera, values)
            self._frame.use()
            self._frame.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
            self._context.enable(self._moderngl.DEPTH_TEST)
            self._context.disable(self._moderngl.BLEND)
            for surface in surfaces:
                self._arrays[surface].render()
            if glasses is not None:
                self._draw_glasses(glasses, hides=worn.lens_colour[3] > 0.5)
            return self._read(camera)

    def close(self) -> None:
        """Free the graphics memory."""
        self._context.release()

    def _draw_glasses(self, glasses: Glasses, hides: bool) -> None:
        moving = self._context.buffer(np.column_stack([glasses.positions, glasses.normals]).astype("f4").tobytes())
        nothing = np.zeros((len(glasses.parts), 2), np.float32)
        still = np.column_stack([glasses.positions, nothing, glasses.parts]).astype("f4")
        still_buffer = self._context.buffer(still.tobytes())
        array = self._vertex_array("GLASSES", moving, still_buffer, glasses.triangles)
        lens_corners = int((glasses.parts[glasses.triangles[:, 0]] == 8).sum()) * 3
        array.render(vertices=glasses.triangles.size - lens_corners)
        self._context.enable(self._moderngl.BLEND)
        self._context.blend_func = self._moderngl.ONE, self._moderngl.ONE_MINUS_SRC_ALPHA
        self._frame.depth_mask = hides  # what a clear lens covers stays visible
        array.render(vertices=lens_corners, first=glasses.triangles.size - lens_corners)
        self._frame.depth_mask = True
        for part in (array, moving, still_buffer):
            part.release()

    def _read(self, camera: Camera) -> Picture:
        side = self._drawn_side
        pixels = np.frombuffer(self._frame.read(components=4), np.uint8).reshape(side, side, 4)[::-1]
        depth = np.frombuffer(self._frame.read(components=1, attachment=-1, dtype="f4"), np.float32).reshape(
            side, side
        )[::-1]
        small = np.asarray(cv2.resize(pixels, (self.side, self.side), interpolation=cv2.INTER_AREA), np.float32)
        small /= np.float32(255)
        return Picture(small[:, :, 2::-1], small[:, :, 3:], camera.depth_to_distance(depth))

    def _write(self, vertices: Floats) -> None:
        buffer = np.empty((len(self._assets.corner_vertex), 6), np.float32)
        buffer[:, :3] = vertices[self._assets.corner_vertex]
        buffer[:, 3:] = self._normals.of(vertices)[self._assets.corner_vertex]
        self._moving.write(buffer)

    def _set(self, program: Any, camera: Camera, values: Sequence[tuple[str, Any]]) -> None:
        program["view"].write(camera.view.T.astype("f4").tobytes())
        program["projection"].write(camera.projection.T.astype("f4").tobytes())
        for name, value in values:
            if name in self._known[program]:
                program[name] = value

    def _vertex_array(self, surface: str, moving: Any, still: Any, triangles: NDArray[np.int32]) -> Any:
        program = self._programs[surface]
        indices = self._context.buffer(np.ascontiguousarray(triangles, np.int32).tobytes())
        content = []
        for buffer, (form, *names) in zip((moving, still), _VERTEX_FORMAT, strict=True):
            # The compiler drops what a surface does not read; its bytes are skipped.
            sizes = [part.removesuffix("f") for part in form.split()]
            kept = " ".join(f"{n}f" if name in program else f"{n}x4" for n, name in zip(sizes, names, strict=True))
            content.append((buffer, kept, *(name for name in names if name in program)))
        return self._context.vertex_array(program, content, indices)

    def _compile(self, surface: str) -> Any:
        common = f"#version 330\n#define {surface}\n{_shader('common')}"
        fragment = "".join([common, _shader("skin"), _shader("hair"), _shader("fragment")])
        return self._context.program(vertex_shader=common + _shader("vertex"), fragment_shader=fragment)


class _NormalSmoother:
    """Normals of the vertices, smoothed once so that coarse triangles make no dark edges where the skin folds."""

    def __init__(self, assets: HeadAssets) -> None:
        self._faces = assets.corner_vertex[assets.triangles]
        corners = self._faces.reshape(-1)
        order = np.argsort(corners, kind="stable")
        self._triangle = order // 3
        self._starts = np.searchsorted(corners[order], np.arange(len(assets.positions)))

    def of(self, vertices: Floats) -> Floats:
        """float32 (V, 3), of length 1."""
        a, b, c = (vertices[self._faces[:, corner]] for corner in range(3))
        normals = _unit(self._gather(np.cross(b - a, c - a)))
        around = self._gather(normals[self._faces].sum(axis=1))
        return _unit(np.asarray(normals + around / 12, np.float32))

    def _gather(self, of_triangles: Floats) -> Floats:
        return np.asarray(np.add.reduceat(of_triangles[self._triangle], self._starts, axis=0), np.float32)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9), np.float32)


def _shader(name: str) -> str:
    return resources.files(__package__).joinpath(f"shaders/{name}.glsl").read_text(encoding="utf-8")


def _open_context(moderngl: Any) -> Any:
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)
    except Exception as error:  # moderngl's loader raises bare Exceptions
        raise MienError(
            f"OpenGL cannot be opened without a screen ({error})",
            "Install EGL and Mesa (Debian, Ubuntu: apt install libegl1 libgl1 libgl1-mesa-dri)",
        ) from error
