"""YuNet with a free input size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mien.errors import MienError
from mien.models.fetch import fetch
from mien.models.yunet import free_input_size
from mien.runtime.backend import BackendOptions, Model, load_network


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (1, 3, height, width)).astype(np.float32)


def test_is_the_same_network_at_its_own_size() -> None:
    original = load_network(Model.of("detector", "a test", fetch("yunet").read_bytes()), BackendOptions())
    freed = load_network(Model.of("detector", "a test", free_input_size(fetch("yunet")), (640, 640)), BackendOptions())
    picture = noise(640, 640)
    expected, found = original.run(picture), freed.run(picture)
    assert freed.output_names == original.output_names
    for name in original.output_names:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


@pytest.mark.parametrize("size", [(256, 320), (192, 256), (32, 32)])
def test_takes_any_multiple_of_32(size: tuple[int, int]) -> None:
    network = load_network(Model.of("detector", "a test", free_input_size(fetch("yunet")), size), BackendOptions())
    assert network.input_shape == (1, 3, *size)
    outputs = network.run(noise(*size))
    for stride in (8, 16, 32):
        positions = (size[0] // stride) * (size[1] // stride)
        assert outputs[f"bbox_{stride}"].shape == (1, positions, 4)
        assert outputs[f"kps_{stride}"].shape == (1, positions, 10)


def test_leaves_the_size_open() -> None:
    network = load_network(Model.of("detector", "a test", free_input_size(fetch("yunet"))), BackendOptions())
    assert network.input_shape == (1, 3, None, None)


def test_no_fixed_size_stays_written_down() -> None:
    graph = onnx.load_model_from_string(free_input_size(fetch("yunet"))).graph
    assert len(graph.value_info) == 0
    for output in graph.output:
        assert not output.type.tensor_type.shape.dim[1].HasField("dim_value")


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    file.write_bytes(b"not onnx")
    with pytest.raises(MienError, match=r"other\.onnx is not YuNet"):
        free_input_size(file)
