"""`mien bench` with camera and perception node in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from mien.benchmark.results import Report
from mien.benchmark.while_learning import LearningRequest, measure_while_learning
from mien.models.default_bundle import default_bundle


def test_the_round_trip_over_dds_is_measured() -> None:
    command = [sys.executable, "-m", "mien.cli", "bench", "--frames", "20", "--faces", "1", "2", "--json", "-"]
    done = subprocess.run(command, capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr.decode()
    report = msgspec.json.decode(done.stdout, type=Report)
    assert {result.case for result in report.over_dds} == {result.case for result in report.in_process}
    for result in report.over_dds:
        assert result.frames + result.frames_lost == 10
        assert result.frames > 0
        assert result.faces_found == result.case.faces
        assert 0 < result.node_ms.median < result.round_trip_ms.median <= result.round_trip_ms.p99
        more_ms = result.round_trip_ms.median - result.in_process_ms.median
        assert result.more_ms == pytest.approx(more_ms, abs=2e-3)
    node = report.memory["perception node"]
    assert node.dds_segments_mb > 0
    assert node.without_dds_mb == pytest.approx(node.resident_mb - node.dds_segments_mb, abs=0.2)
    assert "fastdds_large_images.xml" in report.machine["DDS profile"]


def test_frames_while_a_person_is_learned_are_measured() -> None:
    found = measure_while_learning(default_bundle(), LearningRequest(labels=12, rounds=2, frames=20))
    assert (found.labels, found.frames, len(found.without_ms), len(found.with_ms)) == (12, 20, 2, 2)
    ratios = [one.p99 / other.p99 for one, other in zip(found.with_ms, found.without_ms, strict=True)]
    assert found.p99_ratio_range == pytest.approx((min(ratios), max(ratios)), abs=1e-3)
    assert min(ratios) - 1e-3 <= found.p99_ratio <= max(ratios) + 1e-3
    assert all(0 < times.median <= times.p99 for times in (*found.without_ms, *found.with_ms, found.label_to_output_ms))
