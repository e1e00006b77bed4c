"""What comes with mien: who it may have learned from, and that its cards are written for what is there."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from export.card import model_card
from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.build_bundle import write_bundle
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.models.own_networks import NOTICE, OWN, own_expression, own_landmarks, own_model_card
from tests.export.checkpoints import LABELS, SIDE_PX, noise, save_network, settled_network
from trainer.models import Network, Outputs
from trainer.models.weights import PACKAGE_LINEAGES
from trainer.stages.checkpoint import Step
from trainer.stages.material import names_renders

STEP = Step(
    stage="one", source="home", data="rendered home", pictures=9, people=3, split="by person", target="affect",
    epochs=1, images_seen=9, learning_rate=0.1, seed=0,
)  # fmt: skip
MORE = msgspec.structs.replace(STEP, data="rendered home + CK+")
TAUGHT = msgspec.structs.replace(STEP, teacher="FER2013")
BY_OTHERS = msgspec.structs.replace(STEP, teacher="AffectNet")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A copy of our networks, which the tools may replace."""
    return Path(shutil.copytree(OWN, tmp_path / "own"))


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def card_of_bundle(own: Path, folder: Path) -> bytes:
    """What the model card of the bundle of these networks should begin with."""
    folder.mkdir()
    write_bundle(folder, fetch("yunet"), own=own)
    bundle = open_bundle(folder)
    bundle.verify()
    return model_card(bundle.manifest)


def test_the_model_card_is_that_of_the_default_bundle_and_holds_others_licences() -> None:
    described = model_card(open_bundle(default_bundle()).manifest)
    assert own_model_card().startswith(described)
    assert b"The above copyright notice and this permission notice shall be included" in own_model_card()
    assert own_model_card().endswith((OWN / NOTICE).read_bytes())


def test_what_mien_brings_has_learned_from_renders_and_packages_only() -> None:
    for name in (*own_expression().card.data_sets, *own_landmarks().card.data_sets):
        assert name in PACKAGE_LINEAGES or names_renders(name)


def test_landmarks_are_kept_of_networks_that_learned_from_renders_only(kept: Path, tmp_path: Path) -> None:
    tool, before = load_tool("keep_landmarks"), contents(kept)
    network = settled_network("parts_subnet_48", Outputs(points="all", scales=True), 0, side=48)
    for number, keys in enumerate(({"weights": "", "lineage": (MORE,)}, {"lineage": (STEP,)})):  # began with IN
        with pytest.raises(MienError, match="has learned from more than renders"):
            tool.keep(save_network(tmp_path / f"{number}", network, **keys), kept)
    assert contents(kept) == before
    tool.keep(save_network(tmp_path / "rendered", network, lineage=(STEP,), weights="", licences=()), kept)
    own = own_landmarks(kept)
    assert own.card.spec.file.licence.startswith("Apache-2.0")
    assert (own.card.data_sets, own.card.spec.confidence_output) == (("rendered home",), "confidences")
    assert own_expression(kept).files == own_expression().files
    assert own_model_card(kept).startswith(card_of_bundle(kept, tmp_path / "bundle"))
    assert own_model_card(kept) != own_model_card()


@pytest.fixture(scope="module")
def network() -> Network:
    return settled_network("mini_xception", Outputs(LABELS, ("valence", "arousal")), 0)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"lineage": (MORE,)}, "has learned from more than renders and networks of packages"),
        ({"lineage": (STEP,), "weights": "VF2"}, "has learned from more than renders and networks of packages"),
        ({"lineage": (BY_OTHERS,), "weights": ""}, "has learned from more than renders and networks of packages"),
        ({"lineage": (TAUGHT,), "weights": "", "licences": ()}, "does not say under which terms"),
    ],
)
def test_other_networks_for_expressions_are_refused(
    network: Network, kept: Path, tmp_path: Path, keys: dict[str, Any], problem: str
) -> None:
    before = contents(kept)
    with pytest.raises(MienError, match=problem):
        load_tool("keep_expression").keep(save_network(tmp_path / "one", network, **keys), kept)
    assert contents(kept) == before


def test_a_network_for_expressions_is_kept_with_the_terms_of_what_it_began_with(
    network: Network, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No run is around it whose pictures could calibrate int8.
    monkeypatch.setattr("export.bundle.calibration_pictures", lambda *_, **__: noise(network, 1).numpy())
    monkeypatch.setattr("export.bundle.quantize", lambda fp32, *_: fp32)
    checkpoint = save_network(tmp_path / "one", network, lineage=(STEP, TAUGHT))
    load_tool("keep_expression").keep(checkpoint, kept)
    card = own_expression(kept).card
    assert (card.name, card.labels) == ("mien-mini-xception", LABELS)
    assert card.data_sets == ("IN", "FER2013", "rendered home")
    assert list(card.backbone.files) == ["fp32", "fp16", "int8"]
    assert card.backbone.input.width == SIDE_PX
    assert card.backbone.feature_map_output is not None
    for file in card.files():
        assert file.licence.startswith("Apache-2.0 for mien's part")
        assert file.licence.endswith("Weights of somebody: MIT.")
    assert own_landmarks(kept) == own_landmarks()
    assert own_model_card(kept).startswith(card_of_bundle(kept, tmp_path / "bundle"))
    assert own_model_card(kept) != own_model_card()
