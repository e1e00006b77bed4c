"""What a bundle says of checkpoints, and which of them make one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from export.manifest import check_cards, describe
from mien.bundle import open_bundle
from mien.errors import MienError
from tests.export.checkpoints import LABELS, save_network
from trainer.models import ARCHITECTURES, Outputs, build_network
from trainer.stages.checkpoint import load_card


def test_twins_of_every_architecture_fit_into_a_manifest(make_bundle: Any) -> None:
    for size in {2 * architecture.embedding_size for architecture in ARCHITECTURES.values()}:
        path = make_bundle({"backbone.embedding_size": size})
        assert open_bundle(path).manifest.backbone.embedding_size == size


def test_a_checkpoint_stands_in_a_bundle_once(tmp_path: Path) -> None:
    network = build_network("mini_xception", Outputs(LABELS), seed=0)
    places = [save_network(tmp_path / name, network) for name in ("one", "copy")]
    with pytest.raises(MienError, match=r"copy is the same network as .*one\. Name each checkpoint once"):
        check_cards(places, [load_card(place) for place in places])


def test_what_a_teacher_has_learned_from_is_among_the_data(tmp_path: Path) -> None:
    network = build_network("mini_xception", Outputs(LABELS), seed=0)
    card = load_card(save_network(tmp_path, network, weights="", licences=("Weights of a teacher: MIT.",)))
    taught = msgspec.structs.replace(card.lineage[0], data="rendered home", teacher="FER2013")
    words = describe([msgspec.structs.replace(card, lineage=(taught, *card.lineage))])
    assert words.lineage == "rendered home (taught by FER2013) → CK+"
    assert words.data_sets[:3] == ("FER2013", "rendered home", "CK+")
    assert "Weights of a teacher: MIT." in words.licence
