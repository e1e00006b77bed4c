"""The converted expression network computes what Keras computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.models.fetch import fetch
from mien.models.mini_xception import SplitNetwork, convert_mini_xception
from mien.runtime.backend import BackendOptions, Model, Network, load_network


@pytest.fixture(scope="module")
def split() -> SplitNetwork:
    return convert_mini_xception(fetch("mini_xception"))


@pytest.fixture(scope="module")
def network(split: SplitNetwork) -> Network:
    return load_network(Model.of("backbone", "a test", split.backbone), BackendOptions())


def test_logits_equal_those_of_keras(
    split: SplitNetwork, network: Network, patterns: np.ndarray, keras_logits: np.ndarray
) -> None:
    logits = network.run(patterns)["embedding"] @ split.weight.T + split.bias
    np.testing.assert_allclose(logits, keras_logits, rtol=0, atol=1e-4)


def test_batches_of_any_size_give_the_same(network: Network, patterns: np.ndarray) -> None:
    together = network.run(patterns)["embedding"].copy()
    for i in range(len(patterns)):
        np.testing.assert_allclose(network.run(patterns[i : i + 1])["embedding"][0], together[i], atol=1e-5)


def test_the_embedding_holds_the_means_that_a_padded_convolution_sees(network: Network, patterns: np.ndarray) -> None:
    outputs = network.run(patterns)
    feature_map = np.pad(outputs["feature_map"], ((0, 0), (0, 0), (1, 1), (1, 1)))
    side = outputs["feature_map"].shape[-1]
    means = [feature_map[:, :, y : y + side, x : x + side].mean((2, 3)) for y in range(3) for x in range(3)]
    np.testing.assert_allclose(outputs["embedding"], np.stack(means, -1).reshape(len(feature_map), -1), atol=1e-5)


def test_sizes_are_those_of_the_manifest(split: SplitNetwork, network: Network) -> None:
    assert network.input_shape == (None, 1, 64, 64)
    assert split.weight.shape == (7, split.embedding_size) == (7, 1152)
    assert split.bias.shape == (7,)


def test_the_same_file_gives_the_same_bytes(split: SplitNetwork) -> None:
    assert convert_mini_xception(fetch("mini_xception")).backbone == split.backbone


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.hdf5"
    file.write_bytes(b"not hdf5")
    with pytest.raises(MienError, match=r"other\.hdf5 is not a mini-XCEPTION"):
        convert_mini_xception(file)
