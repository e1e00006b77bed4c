"""The frozen part as ONNX: the same numbers as torch, and nothing in the file that should not be there."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from export.graph import export_graph, run_graph
from mien.errors import MienError
from mien.runtime.backend import BackendOptions, Model, load_network
from tests.export.checkpoints import LABELS, noise, settled_network
from trainer.models import Network, Outputs


def shape(value: Any) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def test_embeddings_stand_side_by_side_and_are_torchs(twins: list[Network], graph: bytes) -> None:
    network = load_network(Model.of("backbone", "twins", graph), BackendOptions())
    for count in (1, 5):
        pictures = noise(twins[0], count)
        with torch.inference_mode():
            expected = torch.cat([twin(pictures).embedding for twin in twins], 1).numpy()
        np.testing.assert_allclose(network.run(pictures.numpy())["embedding"], expected, atol=1e-5)
        assert np.ptp(expected) > 0.1
    network.close()


def test_the_last_map_is_the_one_that_is_pooled(twins: list[Network], graph: bytes) -> None:
    """The middle one of nine shifted means is that of the map itself."""
    network = load_network(Model.of("backbone", "twins", graph), BackendOptions())
    found = network.run(noise(twins[0], 3).numpy())
    means = found["embedding"].reshape(3, 256, 9)[:, :, 4]
    np.testing.assert_allclose(found["feature_map"].mean(axis=(2, 3)), means, atol=1e-6)
    network.close()


def test_maps_that_differ_in_size_are_outputs_of_their_own() -> None:
    pair = settled_network("expression_pair", Outputs(LABELS), 0, 64)
    data, pictures = export_graph([pair], has_feature_map=True), noise(pair, 2)
    assert [(one.name, shape(one)) for one in onnx.load_model_from_string(data).graph.output] == [
        ("embedding", ["batch", 1408]),
        ("feature_map", ["batch", 128, 4, 4]),
        ("feature_map_2", ["batch", 256, 7, 7]),
    ]
    found = run_graph(data, pictures.numpy())
    with torch.inference_mode():
        expected = pair(pictures).embedding.numpy()
    np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)
    for name, pooled in (("feature_map", expected[:, 4:1152:9]), ("feature_map_2", expected[:, 1152:])):
        np.testing.assert_allclose(found[name].mean(axis=(2, 3)), pooled, atol=1e-5)
        assert np.ptp(pooled) > 0.1


def test_the_file_says_what_robots_rely_on(graph: bytes) -> None:
    model = onnx.load_model_from_string(graph)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
    assert model.ir_version <= 9
    assert [(one.name, shape(one)) for one in model.graph.input] == [("image", ["batch", 1, 32, 32])]
    assert [(one.name, shape(one)) for one in model.graph.output] == [
        ("embedding", ["batch", 2304]),
        ("feature_map", ["batch", 256, 2, 2]),
    ]
    kinds = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in kinds


def test_the_file_says_nothing_of_the_machine(graph: bytes) -> None:
    here = {Path.home(), Path(sys.prefix), Path(__file__).parents[2], Path(tempfile.gettempdir())}
    assert [word for word in (".py", "site-packages", *map(str, here)) if word.encode() in graph] == []


def test_a_network_that_gives_no_numbers_is_refused() -> None:
    network = settled_network("mini_xception", Outputs(affect=("valence",)), 0)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    with pytest.raises(MienError, match=r"numbers that are not finite.*Train"):
        export_graph([network])


def test_a_file_that_differs_from_torch_is_refused(twins: list[Network], graph: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.graph._export", lambda *_: graph)  # of both twins, with other weights first
        with pytest.raises(
            MienError, match=r"another embedding than torch: numbers up to 3\.39 differ by .*, more than 0\.00034"
        ):
            export_graph(twins[::-1])


def test_large_embeddings_may_differ_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    network = settled_network("mini_xception", Outputs(affect=("valence",)), 0)
    last = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        for values in last.parameters():
            values *= 100

    def give(share: float) -> None:
        def run(_data: bytes, pictures: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, Any]:
            with torch.inference_mode():
                embedding = network(torch.from_numpy(pictures)).embedding.numpy()
            assert np.abs(embedding).max() > 100
            return {"embedding": embedding + share * np.abs(embedding).max()}

        monkeypatch.setattr("export.graph.run_graph", run)

    monkeypatch.setattr("export.graph._export", lambda *_: b"a file")
    give(5e-5)
    assert export_graph([network]) == b"a file"
    give(2e-4)
    with pytest.raises(MienError, match=r"numbers up to \d{3,} differ by 0\.\d+, more than 0\.\d+"):
        export_graph([network])
