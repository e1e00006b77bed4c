"""/diagnostics of the perception node: what it runs, what became of the images, and what to do about trouble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from mien.nodes.statistics import HARMLESS, CameraStatistics, Statistics, seconds_since

MISSING_SHARE_WARNING = 0.05
BAD_IMAGE_WARNING_S = 10.0
"""How long a bad image or stamp is warned of; the counts stay."""
LARGE_IMAGE_ADVICE = (
    "large images are lost on the way: raise the camera driver's shared-memory segment with the DDS profile "
    "fastdds_large_images.xml of mien_bringup (FASTDDS_DEFAULT_PROFILES_FILE in the driver's and in this process)"
)


def diagnostics(
    node: str,
    stamp: Time,
    statistics: Statistics,
    publishers: Mapping[str, int],
    camera_timeout_s: float,
    model: Mapping[str, str],
    problem: str | None,
    fallbacks: Mapping[str, str],
    people: tuple[str | None, Mapping[str, object]] | None,
) -> DiagnosticArray:
    """Build the message.

    Args:
        node: fully qualified name of the node.
        stamp: now.
        statistics: counts and times so far.
        publishers: how many publishers each subscribed camera topic has.
        camera_timeout_s: a camera silent for longer is reported.
        model: facts about bundle and runtime, empty while nothing is loaded.
        problem: why nothing is loaded or processing fails; None when all is well.
        fallbacks: why a network does not run where it should, with the remedy, by the network's name.
        people: what is wrong with personalisation, or None, and facts about it; None where it is off.
    """
    cameras = statistics.cameras()
    message = DiagnosticArray()
    message.header.stamp = stamp
    message.status = [
        _frames(node, cameras, statistics.times_ms()),
        _status(f"{node}: model", *_model_level(model, problem, fallbacks), model),
        *([] if people is None else [_people(node, *people)]),
        *(_camera(node, name, one, publishers.get(name), camera_timeout_s) for name, one in cameras.items()),
    ]
    return message


def _frames(
    node: str, cameras: Mapping[str, CameraStatistics], times_ms: Mapping[str, tuple[float, float]]
) -> DiagnosticStatus:
    dropped: Counter[str] = sum((one.dropped for one in cameras.values()), Counter())
    values: dict[str, object] = {
        "frames_in": sum(one.frames_in for one in cameras.values()),
        "frames_processed": sum(one.processed for one in cameras.values()),
        "frames_dropped": dropped.total(),
    }
    values |= {f"dropped.{reason}": count for reason, count in sorted(dropped.items())}
    for name, (median, p99) in times_ms.items():
        values[f"{name}_ms.median"] = f"{median:.2f}"
        values[f"{name}_ms.p99"] = f"{p99:.2f}"
    bad = {reason: count for reason, count in dropped.items() if reason not in HARMLESS}
    if bad and any(_is_bad(one) for one in cameras.values()):
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(bad.items()))
        return _status(f"{node}: frames", DiagnosticStatus.WARN, f"unusable images: {reasons}", values)
    return _status(f"{node}: frames", DiagnosticStatus.OK, "ok", values)


def _model_level(model: Mapping[str, str], problem: str | None, fallbacks: Mapping[str, str]) -> tuple[bytes, str]:
    if problem is not None:
        return DiagnosticStatus.ERROR, problem
    if fallbacks:
        return DiagnosticStatus.WARN, "; ".join(f"{name}: {why}" for name, why in fallbacks.items())
    return (DiagnosticStatus.OK, "ok") if model else (DiagnosticStatus.STALE, "not configured")


def _people(node: str, problem: str | None, values: Mapping[str, object]) -> DiagnosticStatus:
    level = DiagnosticStatus.OK if problem is None else DiagnosticStatus.WARN
    return _status(f"{node}: people", level, problem or "ok", values)


def _is_bad(one: CameraStatistics) -> bool:
    return seconds_since(one.last_bad_s) < BAD_IMAGE_WARNING_S


def _camera(node: str, name: str, one: CameraStatistics, publishers: int | None, timeout_s: float) -> DiagnosticStatus:
    silent_s = seconds_since(one.last_arrival_s)
    if publishers is None:
        level, text = DiagnosticStatus.STALE, "not subscribed: the node is not active"
    else:
        problems = list(_camera_problems(name, one, publishers, silent_s, timeout_s))
        level, text = DiagnosticStatus.WARN if problems else DiagnosticStatus.OK, "; ".join(problems) or "ok"
    values = {
        "frames_in": one.frames_in,
        "frames_processed": one.processed,
        "frames_dropped": one.dropped.total(),
        "rate_hz": f"{one.rate_hz:.1f}",
        "silent_s": f"{silent_s:.1f}",
        "missing_share": f"{one.missing_share:.3f}",
        "stamps_not_later": one.stamps_not_later,
        "publishers": publishers or 0,
    }
    return _status(f"{node}: camera {name}", level, text, values)


def _camera_problems(
    name: str, one: CameraStatistics, publishers: int, silent_s: float, timeout_s: float
) -> Iterator[str]:
    if publishers == 0:
        yield f"nobody publishes {name}: check the topic name and start the camera"
    elif silent_s > timeout_s:
        since = "no image yet" if np.isinf(silent_s) else f"no image for {silent_s:.1f} s"
        yield f"{since}: is the camera running, does image_qos fit its publisher?"
    if publishers > 1:
        yield f"{publishers} publishers on {name}: their images are mixed"
    elif one.missing_share > MISSING_SHARE_WARNING:
        yield f"{one.missing_share:.0%} of the frames are missing: {LARGE_IMAGE_ADVICE}"
    if one.stamps_not_later and _is_bad(one):
        yield (
            f"{one.stamps_not_later} stamps went backwards or stood still, arrival times were used instead: let the "
            "camera's driver stamp its images"
        )


def _status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id="mien", values=pairs)
