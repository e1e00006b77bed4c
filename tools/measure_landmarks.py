"""Measures a landmark network on real faces, on rendered ones and on a still face over time.

    python tools/measure_landmarks.py ../shared/real_faces/manifest.csv                    # mien's own network
    python tools/measure_landmarks.py ../shared/real_faces/manifest.csv --bundle BUNDLE    # a bundle's own

Writes docs/results/landmarks.md. It measures finished networks only: nothing is chosen on the real faces, whose truth
is what dlib's regression trees see, nor on the rendered ones, whose truth is exact.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import chain, count, islice, pairwise
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from mien.benchmark.machine import machine_facts
from mien.bundle import CropSpec, LandmarksSpec, encode_manifest, open_bundle
from mien.errors import MienError
from mien.faces.crop import crop_square
from mien.faces.detector import Box, Detection, Image
from mien.faces.detectors import make_detector
from mien.faces.landmarks import LandmarkLocator
from mien.faces.quality import shape_of
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.models.own_networks import own_landmarks
from mien.pipeline import Frame, Pipeline, PipelineSettings
from mien.runtime.backend import BackendOptions
from trainer.data import ert
from trainer.data.face_parts import INTEROCULAR, PARTS
from trainer.data.synthetic.domains import find_domain
from trainer.data.synthetic.sample import make_sample
from trainer.evaluate.faces import load_images, read_face_manifest
from trainer.evaluate.intervals import Sums, bootstrap, sum_by_unit
from trainer.evaluate.orl import orl_faces

PAGE = Path(__file__).resolve().parent.parent / "docs" / "results" / "landmarks.md"
DOMAIN, RENDERS, SIDE_PX = "faces", 240, 192
FRONTAL = 0.15
"""Tip of the nose beside the middle of the eyes, in distances of the eyes (of the detector's five points)."""
YAWS = (0, 15, 30, 45, 61)
STILL_FACES, STILL_FRAMES, SETTLING_FRAMES = 5, 130, 10
NOISE_LEVELS, JPEG_QUALITY = 3.0, 80
STEP_PX, STEPS, STEP_EVERY_FRAMES, FRAMES_PER_S = 10, 9, 17, 30.0
FOLLOWED = 0.8

Points = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Face:
    """A face that was found: who it is, what dlib and the network see, and on renders the truth."""

    person: str
    image: Image
    found: Detection
    seen: Points
    by_ert: Points
    truth: Points | None = None
    visible: NDArray[np.bool_] | None = None
    yaw: float = 0.0

    @property
    def is_frontal(self) -> bool:
        """Whether it looks at the camera."""
        return self.found.landmarks is not None and shape_of(self.found.landmarks).turn < FRONTAL


class Bench:
    """Detector and landmark network."""

    def __init__(self, model: bytes, spec: LandmarksSpec) -> None:
        self.model, self.spec = model, spec
        self.detector = make_detector(open_bundle(default_bundle()), "yunet", 0, 0.0, BackendOptions())
        self.locator = LandmarkLocator(model, spec, BackendOptions())

    def look(self, person: str, image: Image, near: Box | None = None) -> Face | None:
        """The best face of a picture, or the one nearest to a box; None where none is found."""
        faces = self.detector.detect(image)
        if not faces:
            return None
        found = faces[0]
        if near is not None:
            x, y = near.center
            found = min(faces, key=lambda face: np.hypot(face.box.center[0] - x, face.box.center[1] - y))
        seen = self.locator.locate(image, [found.box]).points[0]
        return Face(person, image, found, seen, ert.locate(image, found.box))


def of_orl(bench: Bench) -> Iterator[Face | None]:
    for person, image in orl_faces():
        yield bench.look(person, image)


def of_manifest(bench: Bench, manifest: Path) -> Iterator[Face | None]:
    for face, image in load_images(read_face_manifest(manifest)):
        yield None if isinstance(image, MienError) else bench.look(face.person, image, face.box)


def of_renders(bench: Bench) -> Iterator[Face | None]:
    """Unseen people: the first pictures of the test part of the domain."""
    domain = find_domain(DOMAIN)
    unseen = (index for index in count() if domain.split(index) == "test")
    for index in islice(unseen, RENDERS):
        image, label = make_sample(domain, 0, index, SIDE_PX)
        truth = np.array(label.landmarks, np.float32)
        x, y = truth.mean(axis=0).tolist()
        face = bench.look(label.person, image, Box(x, y, 0, 0))
        yield (
            None
            if face is None
            else replace(face, truth=truth, visible=np.array(label.visible, np.bool_), yaw=label.yaw)
        )


# ---- errors


def error(points: Points, truth: Points, of: NDArray[np.bool_] | slice) -> float:
    """Mean distance of some of the 68 points / distance of the eyes' outer corners; NaN where there is no point."""
    right, left = truth[list(INTEROCULAR)]
    apart = np.linalg.norm(points[of] - truth[of], axis=1)
    return float(apart.mean() / np.linalg.norm(left - right)) if len(apart) else np.nan


def mean_over_people(values: Sequence[float], people: Sequence[str], seed: int = 0) -> str:
    """Mean over faces in per cent, with its interval of 95 % by drawing people anew."""
    known = np.isfinite(values)
    names, units = np.unique(np.array(people)[known], return_inverse=True)
    if not len(names):
        return "none"
    ones = np.column_stack([np.array(values)[known], np.ones(known.sum())])
    sums: Sums = {"all": sum_by_unit(ones, units, len(names))}

    def figures(of: Sums) -> dict[str, Floats]:
        return {"mean": of["all"][:, 0] / of["all"][:, 1]}

    mean = 100 * float(np.array(values)[known].mean())
    bounds = bootstrap(sums, figures, seed).get("mean")
    return f"{mean:.2f}" if bounds is None else f"{mean:.2f} ({100 * bounds[0]:.2f} to {100 * bounds[1]:.2f})"


def by_part(faces: Sequence[Face], found: Callable[[Face], Points], truth: Callable[[Face], Points]) -> list[str]:
    """Errors of all points and of each part, per cent."""
    people = [face.person for face in faces]
    return [
        mean_over_people([error(found(face), truth(face), points) for face in faces], people)
        for points in PARTS.values()
    ]


def on_real_faces(sets: dict[str, list[Face]]) -> list[str]:
    rows = []
    for name, faces in sets.items():
        for which, chosen in (("all", faces), ("frontal", [face for face in faces if face.is_frontal])):
            people = str(len({face.person for face in chosen}))
            errors = by_part(chosen, lambda face: face.seen, lambda face: face.by_ert)
            rows.append([name, which, str(len(chosen)), people, *errors])
    return table(("set", "faces", "number", "people", *PARTS), rows)


def on_renders(faces: Sequence[Face]) -> list[str]:
    """The network and dlib against the exact truth, by how far the head is turned."""
    methods: dict[str, Callable[[Face], Points]] = {
        "network": lambda face: face.seen,
        "dlib": lambda face: face.by_ert,
    }
    rows, parts = [], []
    for name, found in methods.items():
        for low, high in pairwise(YAWS):
            turned = [face for face in faces if low <= abs(face.yaw) < high]
            people = [face.person for face in turned]
            everything = [error(found(face), truth_of(face), slice(0, 68)) for face in turned]
            seen = [error(found(face), truth_of(face), visible_of(face)) for face in turned]
            figures = [mean_over_people(values, people) for values in (everything, seen)]
            rows.append([name, f"{low}° to {high - 1 if high == YAWS[-1] else high}°", str(len(turned)), *figures])
        nearly_frontal = [face for face in faces if abs(face.yaw) < YAWS[1]]
        parts.append([name, *by_part(nearly_frontal, found, truth_of)])
    head = ("", "turned by", "faces", "all points", "points that can be seen")
    return [*table(head, rows), f"Turned by less than {YAWS[1]}°, by part:", "", *table(("", *PARTS), parts)]


def truth_of(face: Face) -> Points:
    if face.truth is None:
        raise ValueError("no truth")
    return face.truth


def visible_of(face: Face) -> NDArray[np.bool_]:
    return np.ones(68, np.bool_) if face.visible is None else face.visible


# ---- speed


def speed(bench: Bench, faces: Sequence[Face]) -> list[str]:
    """Both in turn on the same faces, so that whatever else the machine does disturbs both; then each by itself."""
    calls: dict[str, Callable[[Face], object]] = {
        "network, with its crop": lambda face: bench.locator.locate(face.image, [face.found.box]),
        "dlib, with its crop": lambda face: ert.locate(face.image, face.found.box),
    }
    times_ms: dict[str, list[float]] = defaultdict(list)
    for names, how in ((tuple(calls), ""), *(((name,), ", by itself") for name in calls)):
        for face in chain(faces[:20], faces, faces):
            for name in names:
                started = time.perf_counter()
                calls[name](face)
                times_ms[name + how].append((time.perf_counter() - started) * 1e3)
    rows = []
    for name, values in times_ms.items():
        timed = np.array(values[20:])
        rows.append([name, *(f"{value:.2f}" for value in (timed.min(), np.median(timed), np.percentile(timed, 99)))])
    return table(("", "best ms", "median ms", "p99 ms"), rows)


# ---- a still face over time


def still_faces() -> Iterator[tuple[str, Image]]:
    """Real faces, each about 200 pixels high: a frame of the demo's video, and people of ORL, enlarged."""
    video = cv2.VideoCapture(str(fetch("demo_video")))
    yield "demo video", np.asarray(video.read()[1], np.uint8)
    for person, image in orl_faces(STILL_FACES - 1, 1):
        yield f"ORL {person}", np.asarray(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)


def camera_image(still: Image, random: np.random.Generator, shift_px: int = 0) -> Image:
    """The still picture as a camera would deliver it: moved to the right, with the sensor's noise, and compressed."""
    moved = np.roll(still, shift_px, axis=1)
    noisy = np.clip(moved + random.normal(0, NOISE_LEVELS, moved.shape), 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def inner_boxes(bundle: Path, images: Iterable[Image]) -> Floats:
    """Middle and side of the inner crop in each frame, as the robot reads them, float64 (frames, 3), pixels."""
    names = map(str, range(1 << 30))
    pipeline = Pipeline(open_bundle(bundle), PipelineSettings(), lambda: next(names))
    boxes = []
    for number, image in enumerate(images):
        faces = pipeline.process([Frame(image, "camera", number / FRAMES_PER_S)])[0]
        points = faces[0].landmarks if faces else None
        if points is None or len(points) != 68:
            boxes.append((np.nan, np.nan, np.nan))
            continue
        square = crop_square(CropSpec("inner", 0.0), faces[0].box, points, 0, 0)
        boxes.append((*square.center, square.width))
    pipeline.close()
    return np.array(boxes, np.float64)


def jitter(bundle: Path) -> list[str]:
    rows = []
    for number, (name, still) in enumerate(still_faces()):
        random = np.random.default_rng(number)
        images = (camera_image(still, random) for _ in range(STILL_FRAMES))
        boxes = inner_boxes(bundle, track(images, f"jitter, {name}", STILL_FRAMES))[SETTLING_FRAMES:]
        side = np.nanmedian(boxes[:, 2])
        around = 100 * (boxes - np.nanmedian(boxes, axis=0)) / side
        deviation, largest = np.nanstd(around, axis=0), np.nanmax(np.abs(around), axis=0)
        missed = int(np.isnan(boxes[:, 2]).sum())
        figures = [f"{value:.2f}" for value in (deviation[:2].max(), deviation[2], largest[:2].max(), largest[2])]
        rows.append([name, f"{side:.0f}", str(len(boxes)), str(missed), *figures])
    head = ("face", "side px", "frames", "without", "place, sd %", "side, sd %", "place, largest %", "side, largest %")
    return table(head, rows)


def lag(bundle: Path) -> list[str]:
    """How much of a step the box has followed in the first image that shows it, and in those after it."""
    rows = []
    for number, (name, still) in enumerate(still_faces()):
        random = np.random.default_rng(100 + number)
        shifts = [STEP_PX * (frame // STEP_EVERY_FRAMES % 2) for frame in range((STEPS + 1) * STEP_EVERY_FRAMES)]
        images = (camera_image(still, random, shift) for shift in shifts)
        x = inner_boxes(bundle, track(images, f"lag, {name}", len(shifts)))[:, 0]
        followed = []
        for step in range(1, STEPS + 1):
            begin = step * STEP_EVERY_FRAMES
            before = np.nanmean(x[begin - 5 : begin])
            followed.append((x[begin : begin + 6] - before) * (1 if step % 2 else -1) / STEP_PX)
        shares = np.nanmean(followed, axis=0)
        enough = np.flatnonzero(shares >= FOLLOWED)
        late = str(enough[0]) if len(enough) else "more than 5"
        rows.append([name, str(STEPS), *(f"{100 * share:.0f}" for share in shares[:5]), late])
    head = ("face", "steps", *(f"{n} later, %" for n in range(5)), f"frames until {FOLLOWED:.0%}")
    return table(head, rows)


def bundle_with(bench: Bench, folder: Path) -> Path:
    """The default bundle with this landmark network."""
    bundle = shutil.copytree(default_bundle(), folder / "bundle")
    (bundle / bench.spec.file.path).write_bytes(bench.model)
    manifest = msgspec.structs.replace(open_bundle(default_bundle()).manifest, landmarks=bench.spec)
    (bundle / "manifest.json").write_bytes(encode_manifest(manifest))
    return Path(bundle)


# ---- the page


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)] + [""]


def about(spec: LandmarksSpec) -> str:
    return f"""\
- network: {spec.file.source}; sha256 {spec.file.sha256[:12]}; {spec.input.width}x{spec.input.height}
- licence: {spec.file.licence}
- Errors are mean distances of the points, in per cent of the distance of the eyes' outer corners, with intervals of
  95 % by drawing people anew. Both start from the same box, YuNet's; faces it does not find are left out.
"""


REAL = f"""## Real faces, against dlib's regression trees

Nobody annotated these faces: the figure is how far the two are apart, and dlib itself errs by several per cent (below).
Frontal: the tip of the nose is less than {FRONTAL} distances of the eyes beside their middle.
"""
RENDERED = f"""## Rendered faces, against the exact truth

Unseen people of the domain `{DOMAIN}`, {SIDE_PX} px: any expression and light, some covered, cut by the border or tiny.
The truth is where an annotator would put the points: on the drawn brows and along the visible outline.
"""
SPEED = """## Speed

One face, one thread, on the ORL faces: both in turn, where each finds the processor's caches full of the other's
numbers, and each by itself. The best is what the machine can do, whatever else it does.
"""
STILL = f"""## A still face over time

The inner crop's box as the robot has it: detector in every third frame, tracker, network, smoothing,
{FRAMES_PER_S:.0f} images a second. Each image is a still picture with seeded noise ({NOISE_LEVELS:g} levels) and JPEG
({JPEG_QUALITY}); deviations from the median in per cent of the box's side.
"""
LAG = f"""## A step of {STEP_PX} px

The same pictures, moved by {STEP_PX} px to and fro every {STEP_EVERY_FRAMES} images: how much of the step the box has
followed in the first image that shows it (0 later) and in those after it; mean over the steps.
"""


def report(bench: Bench, manifest: Path) -> str:
    """The page."""
    sets = {}
    for name, faces in (("ORL", of_orl(bench)), ("real_faces", of_manifest(bench, manifest))):
        sets[name] = [face for face in track(faces, name, None) if face is not None]
    rendered = [face for face in track(of_renders(bench), DOMAIN, None) if face is not None]
    with tempfile.TemporaryDirectory() as folder:
        bundle = bundle_with(bench, Path(folder))
        over_time = [STILL, *jitter(bundle), LAG, *lag(bundle)]
    lines = [
        "# How well landmarks are located",
        "",
        f"`python tools/measure_landmarks.py`, {datetime.now(timezone.utc).isoformat(timespec='seconds')}",
        "",
        *(f"- {name}: {value}" for name, value in machine_facts().items()),
        about(bench.spec),
        *[REAL, *on_real_faces(sets)],
        *[RENDERED, *on_renders(rendered)],
        *[SPEED, *speed(bench, sets["ORL"])],
        *over_time,
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--bundle", type=Path, help="whose landmark network is measured; without it mien's own")
    parser.add_argument("--save", type=Path, default=PAGE)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.bundle is None:
        own = own_landmarks()
        bench = Bench(own.model, own.card.spec)
    else:
        bundle = open_bundle(arguments.bundle)
        if bundle.manifest.landmarks is None:
            raise SystemExit(f"{arguments.bundle} has no landmark network")
        bench = Bench(bundle.read(bundle.manifest.landmarks.file), bundle.manifest.landmarks)
    page = report(bench, arguments.manifest)
    print(page)
    arguments.save.write_text(page)


if __name__ == "__main__":
    main()
