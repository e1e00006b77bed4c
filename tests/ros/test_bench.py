"""`mien bench` with camera and perception node in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from mien.benchmark.results import Report


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
