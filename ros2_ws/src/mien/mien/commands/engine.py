"""`mien engine`: TensorRT engines built ahead, so that the node's first minutes are as fast as the others."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec
from rich.console import Console
from rich.progress import Progress

from mien.bundle import Bundle, Precision, open_bundle
from mien.errors import MienError
from mien.faces.detector import search_size
from mien.models.default_bundle import default_bundle
from mien.models.identity import find_identity, has_identity
from mien.networks import backbone_model, detector_model, identity_model, landmarks_model
from mien.pipeline import PipelineSettings
from mien.runtime.accelerated import ensure_engine
from mien.runtime.backend import BackendOptions, Model

_Flag = cyclopts.Parameter(negative="")


class EngineRecord(msgspec.Struct, frozen=True):
    """What became of one engine.

    Attributes:
        network: its name, with the input's size where that was chosen.
        built: now; False where a sound one was in the cache.
        time_s: how long it took, seconds.
    """

    network: str
    built: bool
    time_s: float


def engine(
    bundle: Path | None = None,
    /,
    *,
    image_size: Annotated[tuple[str, ...], cyclopts.Parameter(negative="", consume_multiple=True)] = (
        "640x480",
        "1280x720",
    ),
    detector_width: int = 0,
    precision: Precision | None = None,
    again: Annotated[bool, _Flag] = False,
    json: Annotated[bool, _Flag] = False,
) -> None:
    """Build the TensorRT engines of a bundle on this robot; sound ones are left as they are.

    Takes minutes on a Jetson. Without it the node builds them at its first start, while ONNX Runtime serves.

    Args:
        bundle: Folder or .zip with the models; the default bundle if not given.
        image_size: Sizes of the cameras' images, as 640x480; the detector has an engine for each shape.
        detector_width: As the node's parameter; 0 takes the bundle's.
        precision: Of the backbone's files; without it fp16 where there is one, else fp32.
        again: Build also those that are there.
        json: Print JSON instead of lines.
    """
    options = BackendOptions("tensorrt", precision=precision)
    PipelineSettings(detector_width=detector_width, backend=options)  # refuses what the node would refuse
    models = _models(open_bundle(bundle or default_bundle()), _sizes(image_size), detector_width, precision)
    records = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for model in models:
            record = _ensure(model, options, again, progress)
            records.append(record)
            if not json:
                print(f"{record.network}: " + (f"built in {record.time_s:.0f} s" if record.built else "is there"))
    if json:
        print(msgspec.json.format(msgspec.json.encode(records), indent=2).decode())


def _ensure(model: Model, options: BackendOptions, again: bool, progress: Progress) -> EngineRecord:
    height, width = model.input_size or (None, None)
    name = model.name if width is None else f"{model.name} {width}x{height}"
    task = progress.add_task(name, total=1.0)
    started = time.perf_counter()
    built = ensure_engine(
        model,
        options,
        again,
        lambda what, share: progress.update(task, completed=share, description=f"{name}: {what}"),
    )
    progress.remove_task(task)
    return EngineRecord(name, built, round(time.perf_counter() - started, 1))


def _sizes(texts: Sequence[str]) -> list[tuple[int, int]]:
    found = [re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text) for text in texts]
    if not found or None in found:
        raise MienError(f"--image-size cannot be {' '.join(texts)!r}", "Give width and height of images, as 640x480")
    return [(int(one[1]), int(one[2])) for one in found if one is not None]


def _models(
    bundle: Bundle, image_sizes: Sequence[tuple[int, int]], detector_width: int, precision: Precision | None
) -> Iterator[Model]:
    """Every network that the node runs with the bundle, as an engine can; detectors of one input size once."""
    manifest = bundle.manifest
    yield backbone_model(bundle, precision)
    onnx = bundle.read(manifest.detector.file)
    shrunk = (search_size(*size, detector_width or manifest.detector.width) for size in image_sizes)
    yield from {model.input_size: model for model in (detector_model(onnx, *size) for size in shrunk)}.values()
    if manifest.landmarks is not None:
        yield landmarks_model(bundle.read(manifest.landmarks.file), manifest.landmarks)
    if has_identity(bundle):
        yield identity_model(*find_identity(bundle))
