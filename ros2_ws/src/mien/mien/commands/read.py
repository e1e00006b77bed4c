"""`mien read`: the pipeline without ROS, on pictures, folders and videos."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from cyclopts import Parameter
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from mien.bundle import open_bundle
from mien.drawing import draw
from mien.errors import MienError
from mien.faces.detector import Image
from mien.models.default_bundle import default_bundle
from mien.pipeline import FaceAffect, Frame, Pipeline, PipelineSettings
from mien.records import FaceRecord, FrameRecord, record_of
from mien.sources import PICTURE_SUFFIXES, Source, open_source
from mien.sources import Frame as SourceFrame

Flag = Parameter(negative="")


def read(
    paths: Annotated[list[Path], Parameter(negative="", consume_multiple=True)],
    /,
    *,
    json: Annotated[bool, Flag] = False,
    save: Path | None = None,
    bundle: Path | None = None,
    detector: str = "yunet",
    detector_width: int = 0,
    detection_threshold: float = 0.0,
) -> int:
    """Read the faces in pictures, folders of pictures, videos and bags.

    Pictures are read one by one; in a video, faces keep their ids and their expressions are smoothed over time.

    Args:
        paths: Pictures, folders, videos or bags.
        json: Print one JSON line per picture or frame instead of a table.
        save: Folder for annotated pictures.
        bundle: Folder or .zip with the models; the default bundle if not given.
        detector: Face detector: yunet, haar or ssd.
        detector_width: Width in pixels that images are shrunk to for the detector; 0 takes the bundle's.
        detection_threshold: Lowest detector score, 0 to 1; 0 takes the bundle's.

    Returns:
        Exit status: 0, or 1 when something could not be read.
    """
    problems: list[MienError] = []

    def report(problem: MienError) -> None:
        problems.append(problem)
        print(f"mien: {problem}", file=sys.stderr)

    settings = PipelineSettings(
        detector=detector,
        detector_width=detector_width,
        detection_threshold=detection_threshold,
        detection_interval_frames=1,
    )
    numbers = count(1)
    pipeline = Pipeline(open_bundle(bundle or default_bundle()), settings, lambda: f"f{next(numbers)}")
    folder = None if save is None else _Folder(save, paths)
    for path in paths:
        try:
            source = open_source(path, report=report)
            records = _read_source(source, pipeline, folder, quiet=json)
            if json:
                for record in records:
                    print(record.to_json().decode(), flush=True)
            else:
                Console().print(_table(source.name, list(records)))
        except MienError as error:
            report(error)
    pipeline.close()
    return 1 if problems else 0


class _Folder:
    """Where annotated pictures go; no picture replaces another one of the same run."""

    def __init__(self, path: Path, sources: Sequence[Path]) -> None:
        if path.resolve() in {(one if one.is_dir() else one.parent).resolve() for one in sources}:
            raise MienError(
                f"The folder {path} holds what is to be read", "Choose another --save: it would be replaced"
            )
        self._path = path
        self._names: Counter[str] = Counter()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MienError(f"The folder {path} cannot be made ({error.strerror})", "Choose another --save") from error

    def write(self, name: str, image: Image) -> None:
        self._names[name] += 1
        again = f"-{self._names[name]}" if self._names[name] > 1 else ""
        file = self._path / f"{name}{again}.jpg"
        try:
            file.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
        except OSError as error:
            raise MienError(f"{file} cannot be written ({error.strerror})", "Choose another --save") from error


def _read_source(source: Source, pipeline: Pipeline, folder: _Folder | None, quiet: bool) -> Iterator[FrameRecord]:
    frames = source if quiet else _with_progress(source)
    for frame in frames:
        still = _is_picture(frame.source)
        # Every picture counts as a camera of its own: its faces are nobody's from the picture before.
        camera = frame.source
        (faces,) = pipeline.process([Frame(frame.image, camera, frame.time_s)])
        if still:
            pipeline.forget_camera(camera)
        if folder is not None:
            name = Path(frame.source).stem if still else f"{Path(frame.source).stem}-{frame.index:06d}"
            folder.write(name, draw(frame.image, faces, pipeline.labels))
        yield FrameRecord(frame.source, frame.index, round(frame.time_s, 6), _records(faces, pipeline.labels))


def _records(faces: Iterable[FaceAffect], labels: tuple[str, ...]) -> list[FaceRecord]:
    return [record_of(face, labels) for face in faces]


def _with_progress(source: Source) -> Iterable[SourceFrame]:
    console = Console(stderr=True)
    return track(
        source, source.name, source.frame_count, console=console, transient=True, disable=not console.is_terminal
    )


def _is_picture(source: str) -> bool:
    return Path(source).suffix.lower() in PICTURE_SUFFIXES


def _table(name: str, records: list[FrameRecord]) -> Table:
    return _table_of_pictures(name, records) if _is_picture(records[0].source) else _table_of_video(name, records)


def _table_of_pictures(name: str, records: Sequence[FrameRecord]) -> Table:
    # Where the terminal is narrow, names are folded: their ends tell pictures apart.
    picture = Column("picture", overflow="fold")
    table = Table(picture, "face", "box x y w h", "expression", "confidence", "valence", "arousal", title=name)
    parts = next((face.parts for record in records for face in record.faces), {})
    for part in parts:
        table.add_column(part)
    for record in records:
        file = Path(record.source).name
        for face in record.faces:
            box = " ".join(str(number) for number in face.box)
            affect = (_signed(face.valence), _signed(face.arousal))
            confidences = (f"{face.parts[part]:.2f}" for part in parts)
            table.add_row(file, face.id, box, face.expression or "–", _bar(face.confidence), *affect, *confidences)
        if not record.faces:
            table.add_row(file, "no face")
    return table


def _table_of_video(name: str, records: Iterable[FrameRecord]) -> Table:
    seen: dict[str, list[tuple[float, FaceRecord]]] = {}
    frames = 0
    for record in records:
        frames += 1
        for face in record.faces:
            seen.setdefault(face.id, []).append((record.time_s, face))
    table = Table(
        "face", "from s", "to s", "frames", "expressions", "valence", "arousal", title=f"{name}: {frames} frames"
    )
    for face_id, moments in seen.items():
        shares = Counter(face.expression for _, face in moments)
        common = (f"{label} {number / len(moments):.0%}" for label, number in shares.most_common(3) if label)
        affect = (_mean([face.valence for _, face in moments]), _mean([face.arousal for _, face in moments]))
        times = (f"{moments[0][0]:.1f}", f"{moments[-1][0]:.1f}")
        table.add_row(face_id, *times, str(len(moments)), ", ".join(common) or "–", *affect)
    return table


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _signed(float(np.mean(known)) if known else None)


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _bar(share: float | None) -> str:
    return "–" if share is None else f"{'█' * round(10 * share):<10} {share:.2f}"
