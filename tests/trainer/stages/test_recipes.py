"""The built-in recipes: all can be read in both sizes, and each network of a paper takes a step of its own stage."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import msgspec
import pytest
import torch

from tests.trainer.stages.small import OUTPUTS, make_small_examples
from trainer.data.batches import Batches
from trainer.losses import Criterion
from trainer.models import build_network
from trainer.models.transfer import replace_parts, unfreeze
from trainer.stages.fit import fit, make_fabric
from trainer.stages.recipe import Balance, Schedule
from trainer.stages.recipe_file import built_in_recipes, load_recipe, resolve

PICTURES = 3  # one of each class
# The stages that show each paper's own networks and losses, at their own size.
OWN = [
    ("cross_domain", "model_5_3", "resnet50"),
    ("small_sets", "alexnet", "alexnet"),
    ("small_sets", "compare_vgg19", "vgg19"),
    ("small_sets", "compare_resnet152", "resnet152"),
    ("valence_arousal", "valence", "alexnet"),
    ("real_time", "coarse", "mobilenet_v1_48"),
    ("real_time", "ck_8_large", "mobilenet_v1_48"),
    ("parts", "sfew_baseline_0", "parts_subnet"),
    ("parts", "ck_mouth_fine", "parts_subnet"),
]


def test_there_is_a_recipe_for_each_paper_of_this_part() -> None:
    papers = {load_recipe(name).paper for name in built_in_recipes()}
    assert papers >= {"000", "001", "002", "003", "004"}


@pytest.mark.parametrize("name", built_in_recipes())
@pytest.mark.parametrize("size", ["smoke", "study"])
@pytest.mark.parametrize("is_rendered", [True, False])
def test_every_recipe_can_be_run_in_both_sizes_on_both_kinds_of_data(name: str, size: str, is_rendered: bool) -> None:
    recipe, settings = resolve(load_recipe(name), size, is_rendered)  # type: ignore[arg-type]
    assert recipe.stages
    assert recipe.tables
    if recipe.paper:
        assert recipe.trends
    if recipe.trends and size == "study" and is_rendered:
        assert settings.seeds >= 3
    if size == "smoke":
        assert settings.seeds == 1
        assert max(stage.epochs for stage in recipe.stages.values()) <= 6


@pytest.mark.parametrize("recipe_name", ["cross_domain", "small_sets", "valence_arousal", "real_time", "parts"])
def test_all_networks_of_a_recipe_are_among_those_that_take_a_step(recipe_name: str) -> None:
    recipe = load_recipe(recipe_name)
    named = {stage.architecture or recipe.architecture for stage in recipe.stages.values()}
    assert named == {architecture for name, _, architecture in OWN if name == recipe_name}


@pytest.mark.parametrize(("recipe_name", "stage_name", "architecture"), OWN)
def test_each_network_takes_a_step_of_its_own_stage(
    recipe_name: str, stage_name: str, architecture: str, tmp_path: Path
) -> None:
    stage = load_recipe(recipe_name).stages[stage_name]
    # One batch and one epoch; nothing else of the stage is changed.
    stage = msgspec.structs.replace(
        stage, epochs=1, stop_after=0, schedule=Schedule(), balance=Balance(), batch_size=PICTURES
    )
    network = build_network(architecture, OUTPUTS[stage.target], 0, stage.dropout)
    replace_parts(network, stage.replace, 0)
    unfreeze(network, stage.unfreeze)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters() if weight.dim() > 1}
    batches = Batches(
        make_small_examples(network, stage.target, PICTURES), PICTURES, stage.augmentation, stage.balance, 0
    )
    criterion = Criterion(stage, network.outputs, network.feature_size)
    # States of these networks have up to a gigabyte.
    (epoch,) = fit(network, criterion, batches, None, stage, make_fabric(), tmp_path, 0, save_every_seconds=math.inf)
    assert epoch.pictures == PICTURES
    assert epoch.loss > 0
    same = [name for name, weight in network.named_parameters() if name in before and torch.equal(weight, before[name])]
    assert same == []
    if stage.center:
        assert criterion.centers.abs().sum() > 0
    del network, before, batches, criterion
    gc.collect()
