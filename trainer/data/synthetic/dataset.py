"""Renders as a folder: pictures, one labels file, and what they were made from.

    dataset.json        domain, seed, side, version of the renderer
    images/00003/000812.png
    labels.jsonl        one label per line, in the order of the index
    parts/00003.jsonl   while it is being made: labels of the finished parts

Pictures are made in parts; a part counts when its labels are in place, which happens at once and last. So whatever
stops a render - a full disk, a power cut, Ctrl-C - what is finished stays valid, and the same call goes on from there.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import msgspec

from mien.errors import MienError
from trainer.data.deaf import deaf_children
from trainer.data.output import output_errors, sole_writer, whole_file
from trainer.data.synthetic.domains import Domain, find_domain
from trainer.data.synthetic.labels import Label
from trainer.data.synthetic.sample import make_sample

VERSION = 2
"""Of the pictures: count up whenever the same seed gives other pixels or labels."""

PART = 50
_LEFT_BY_US = (".lock", ".dataset.json.partial")
"""What a first run may leave that was ended before it could write anything else."""
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]

Progress = Callable[[int, int], None]


class Made(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a folder of renders was made from (dataset.json)."""

    domain: str
    seed: int
    side: int
    version: int = VERSION


def render(
    domain_name: str,
    folder: Path,
    *,
    count: int = 0,
    side: int = 128,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> int:
    """Render a domain into a folder, or go on with one that was begun; quick where everything is there.

    Args:
        domain_name: one of `DOMAINS`.
        folder: made if needed; must be empty, or hold renders of the same domain, seed and side.
        count: number of pictures; 0 takes the domain's. Pictures beyond it that are there already stay.
        side: of the pictures, pixels, 32 to 512.
        seed: the same seed gives the same pictures.
        workers: processes; 1 works in this one.
        progress: called with the pictures that are there and the pictures wanted.

    Returns:
        How many pictures were made now.

    Raises:
        MienError: the domain is unknown, the folder holds something else or is being rendered into by another process,
            the disk is full, or rendering is not possible here.
    """
    domain = find_domain(domain_name)
    count = count or domain.count
    if not 32 <= side <= 512 or seed < 0 or count < 0 or workers < 1:
        raise MienError(
            f"Renders of side {side}, seed {seed}, count {count} with {workers} workers cannot be made",
            "Give a side of 32 to 512 pixels, a seed and count from 0, and at least one worker",
        )
    with sole_writer(folder), output_errors(folder):
        _claim(folder, Made(domain.name, seed, side))
        return _render_missing(domain, folder, count, side, seed, workers, progress)


def read_labels(folder: Path) -> list[Label]:
    """Labels of a folder of renders, finished or not, by index.

    Raises:
        MienError: the folder has no renders, or a line is damaged; it is named.
    """
    labels = {}
    files = [folder / "labels.jsonl", *sorted((folder / "parts").glob("*.jsonl"))]
    if not (folder / "dataset.json").is_file():
        raise MienError(f"{folder} holds no renders", "Give the folder that was rendered into")
    for file in files:
        if not file.is_file():
            continue
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            try:
                label = msgspec.json.decode(line, type=Label)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise MienError(
                    f"{file}, line {number} cannot be read ({error})", "Delete the file and render again"
                ) from error
            labels[label.index] = label
    return [labels[index] for index in sorted(labels)]


def _render_missing(
    domain: Domain, folder: Path, count: int, side: int, seed: int, workers: int, progress: Progress | None
) -> int:
    present = {label.index for label in read_labels(folder) if (folder / label.file).is_file()}
    wanted = [index for index in range(count) if index not in present]
    parts: dict[int, list[int]] = {}
    for index in wanted:
        parts.setdefault(index // PART, []).append(index)
    there = count - len(wanted)
    if progress:
        progress(there, count)
    for made in _run(domain, folder, parts, side, seed, workers):
        there += made
        if progress:
            progress(there, count)
    _merge(folder)
    return len(wanted)


def _run(
    domain: Domain, folder: Path, parts: dict[int, list[int]], side: int, seed: int, workers: int
) -> Iterator[int]:
    """Make the parts; yields how many pictures each one had."""
    if workers == 1 or len(parts) < 2:
        for part, indices in parts.items():
            yield _finish(_make_part(domain.name, folder, part, indices, side, seed))
        return
    # Not fork: neither OpenGL nor threads survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(parts)), mp_context=context) as pool:
        with deaf_children():
            jobs = [
                pool.submit(_make_part, domain.name, folder, part, indices, side, seed)
                for part, indices in parts.items()
            ]
        try:
            for job in as_completed(jobs):
                yield _finish(job.result())
        except BrokenProcessPool as error:
            raise MienError(
                f"A process that renders into {folder} was ended from outside",
                "Free some memory or give fewer workers, then render again: it goes on where it stopped",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _finish(result: int | tuple[str, str]) -> int:
    if isinstance(result, tuple):
        raise MienError(*result)
    return result


def _make_part(
    domain_name: str, folder: Path, part: int, indices: list[int], side: int, seed: int
) -> int | tuple[str, str]:
    """Make one part; returns its size, or problem and remedy (which, unlike the error, pass between processes)."""
    domain = find_domain(domain_name)
    cv2.setNumThreads(1)  # the pictures are too small to share, and the processes already use every core
    try:
        with output_errors(folder):
            (folder / "images" / f"{part:05d}").mkdir(parents=True, exist_ok=True)
            lines = []
            for index in indices:
                image, label = make_sample(domain, seed, index, side)
                label = msgspec.structs.replace(label, file=f"images/{part:05d}/{index:06d}.png")
                (folder / label.file).write_bytes(cv2.imencode(".png", image, _PNG)[1].tobytes())
                lines.append(msgspec.json.encode(label) + b"\n")
            os.sync()  # the pictures first: labels promise that they are there
            _write(folder / "parts" / f"{part:05d}-{indices[0]:06d}.jsonl", b"".join(lines))
    except MienError as error:
        return error.problem, error.remedy
    return len(indices)


def _merge(folder: Path) -> None:
    """All labels into one file; only then the parts go."""
    labels = read_labels(folder)
    _write(folder / "labels.jsonl", b"".join(msgspec.json.encode(label) + b"\n" for label in labels))
    shutil.rmtree(folder / "parts", ignore_errors=True)


def _claim(folder: Path, made: Made) -> None:
    """Make sure that the folder is for these renders."""
    file = folder / "dataset.json"
    if not file.exists():
        if strangers := sorted(path.name for path in folder.iterdir() if path.name not in _LEFT_BY_US):
            raise MienError(f"{folder} is not empty ({strangers[0]})", "Give a new or empty folder")
        _write(file, msgspec.json.format(msgspec.json.encode(made)) + b"\n")
        return
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Made)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MienError(f"{file} cannot be read ({error})", "Delete the folder and render again") from error
    for field in made.__struct_fields__:
        if getattr(found, field) != getattr(made, field):
            raise MienError(
                f"{folder} holds renders with {field} {getattr(found, field)}, not {getattr(made, field)}",
                "Give another folder, or the same settings to go on with this one",
            )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(data)
