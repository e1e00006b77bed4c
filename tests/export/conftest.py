"""Small networks that several tests export: torch takes seconds to write even these."""

from __future__ import annotations

import pytest

from export.graph import export_graph
from tests.export.checkpoints import settled_network
from trainer.models import Network, Outputs

AFFECTS: tuple[Outputs, ...] = (Outputs(affect=("valence",)), Outputs(affect=("arousal",)))


@pytest.fixture(scope="session")
def twins() -> list[Network]:
    """For valence and arousal."""
    return [settled_network("mini_xception", outputs, seed) for seed, outputs in enumerate(AFFECTS)]


@pytest.fixture(scope="session")
def graph(twins: list[Network]) -> bytes:
    """Both twins side by side, with the feature map."""
    return export_graph(twins, has_feature_map=True)
