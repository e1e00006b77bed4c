"""Freezing, replacing and carrying over."""

from __future__ import annotations

import pytest
import torch

from mien.errors import MienError
from trainer.models import Network, Outputs, build_network
from trainer.models.transfer import freeze_classes, replace_parts, transfer, unfreeze

SMALL = "mobilenet_v1_48_w025"
CLASSES = Outputs(labels=("anger", "happiness", "neutral"))
ALL_PARTS = ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "output"]


def copy_of(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed_parts(network: Network, before: dict[str, torch.Tensor]) -> list[str]:
    after = network.state_dict()
    changed = {name.split(".")[1] for name in after if not torch.equal(after[name], before[name])}
    return [name for name in network.parts if name in changed]


def train_a_step(network: Network) -> None:
    """One update of everything that is trained, running means of batch normalisation included."""
    network.train()
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    spec = network.input
    output = network(torch.randn(8, spec.depth, spec.height, spec.width))
    told = output.landmarks if output.classes is None else output.classes
    told.square().sum().backward()
    optimiser.step()


@pytest.mark.parametrize(
    ("policy", "trained"),
    [("output", 1), ("head", 1), (1, 2), (2, 3), (6, 7), ("all", 7)],
)
def test_training_changes_what_is_not_frozen_and_nothing_else(policy: str | int, trained: int) -> None:
    network = build_network(SMALL, CLASSES, seed=0)
    unfreeze(network, policy)
    before = copy_of(network)
    train_a_step(network)
    assert changed_parts(network, before) == ALL_PARTS[-trained:]


def test_frozen_classes_stay_while_others_learn() -> None:
    network = build_network(SMALL, Outputs(labels=("a", "b", "c"), affect=("valence",)), seed=0)
    unfreeze(network, "output")
    freeze_classes(network, ("c", "a", "z"))
    output = network.parts["output"]
    before = {name: values.clone() for name, values in output.state_dict().items()}
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        found = network(torch.randn(8, 3, network.input.height, network.input.width))
        optimiser.zero_grad()
        (found.classes.square().sum() + found.valence.sum()).backward()
        optimiser.step()
    moved = {
        name: (values != before[name]).reshape(len(values), -1).any(1) for name, values in output.state_dict().items()
    }
    for kind in ("weight", "bias"):
        assert moved[f"classes.{kind}"].tolist() == [False, True, False]
        assert moved[f"valence.{kind}"].all()


def test_the_head_is_all_dense_parts() -> None:
    with torch.device("meta"):
        network = build_network("vgg19", CLASSES, seed=0)
    unfreeze(network, "head")
    trained = {name.split(".")[1] for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {"dense1", "dense2", "output"}


def test_the_share_that_is_trained_grows_with_the_depth() -> None:
    network = build_network(SMALL, CLASSES, seed=0)
    output = sum(parameter.numel() for parameter in network.parts["output"].parameters())
    total = sum(parameter.numel() for parameter in network.parameters())
    shares = [unfreeze(network, policy) for policy in ("output", 1, 2, 3, 4, 5, "all")]
    assert shares[0] == output / total
    assert shares == sorted(set(shares))
    assert shares[-1] == 1


def test_what_was_frozen_can_be_trained_again() -> None:
    network = build_network(SMALL, CLASSES, seed=0)
    unfreeze(network, "output")
    unfreeze(network, "all")
    before = copy_of(network)
    train_a_step(network)
    assert changed_parts(network, before) == ALL_PARTS


@pytest.mark.parametrize("policy", [0, -1, 7])
def test_more_parts_than_there_are_cannot_be_unfrozen(policy: int) -> None:
    network = build_network(SMALL, CLASSES, seed=0)
    with pytest.raises(MienError, match=f"unfreeze {policy}: {SMALL} has 6 parts before its output"):
        unfreeze(network, policy)


def test_replaced_parts_start_anew_and_the_others_stay() -> None:
    network = build_network(SMALL, CLASSES, seed=0)
    train_a_step(network)
    before, copy = copy_of(network), build_network(SMALL, CLASSES, seed=0)
    replace_parts(network, ["conv1", "output"], seed=7)
    assert changed_parts(network, before) == ["conv1", "output"]
    after = network.state_dict()
    replace_parts(copy, ["conv1", "output"], seed=7)
    same = copy.state_dict()
    assert all(torch.equal(after[name], same[name]) for name in after if name.split(".")[1] in ("conv1", "output"))


def test_parts_do_not_start_again_from_the_weights_that_the_first_stage_began_with() -> None:
    network = build_network(SMALL, CLASSES, seed=7)
    before = copy_of(network)
    replace_parts(network, ["conv1", "output"], seed=7)
    after = network.state_dict()
    for name in ("parts.conv1.0.weight", "parts.output.classes.weight", "parts.output.classes.bias"):
        assert not torch.isclose(after[name], before[name]).any(), name


def test_the_first_part_of_mobilenet_starts_anew_from_its_gaussian() -> None:
    network = build_network("mobilenet_v1_48", CLASSES, seed=0)
    network.parts["conv1"][0].weight.data.fill_(1.0)
    replace_parts(network, ["conv1"], seed=0)
    weights = network.parts["conv1"][0].weight.detach().flatten()
    assert weights.abs().max() <= 2 * 0.09  # cut off at twice the deviation, which leaves 0.88 of it
    assert abs(float(weights.mean())) < 0.01
    assert float(weights.std()) == pytest.approx(0.88 * 0.09, rel=0.1)
    inner = (weights.abs() < 0.09).float().mean()
    assert float(inner) == pytest.approx(0.683 / 0.954, abs=0.06)  # evenly drawn: 0.5


def test_an_unknown_part_is_named_with_those_that_there_are() -> None:
    network = build_network(SMALL, CLASSES, seed=0)
    with pytest.raises(MienError, match=f"{SMALL} has no part 'conv9'") as caught:
        replace_parts(network, ["conv9"], seed=0)
    assert "conv6, output" in caught.value.remedy


@pytest.mark.parametrize(
    ("outputs", "copied"),
    [
        (CLASSES, {"classes"}),
        (Outputs(labels=("happiness", "anger", "neutral")), set()),
        (Outputs(labels=(*CLASSES.labels, "fear")), set()),
        (Outputs(labels=CLASSES.labels, affect=("arousal",)), {"classes", "arousal"}),
        (Outputs(affect=("valence", "arousal")), {"arousal"}),
    ],
)
def test_everything_is_carried_over_but_outputs_that_differ(outputs: Outputs, copied: set[str]) -> None:
    theirs = Outputs(labels=CLASSES.labels, affect=("arousal",))
    source = build_network(SMALL, theirs, seed=1)
    train_a_step(source)
    network = build_network(SMALL, outputs, seed=2)
    before = copy_of(network)
    transfer(network, source.state_dict(), theirs)
    after, source_state = network.state_dict(), source.state_dict()
    for name, tensor in after.items():
        _, part, output, *_ = name.split(".")
        same = part != "output" or output in copied
        assert torch.equal(tensor, source_state[name] if same else before[name]), name


def test_classes_are_kept_by_name_where_that_is_wanted() -> None:
    theirs = Outputs(labels=("happiness", "anger", "neutral"), affect=("valence",))
    source = build_network(SMALL, theirs, seed=1)
    train_a_step(source)
    network = build_network(SMALL, Outputs(labels=("neutral", "contempt", "anger"), affect=("arousal",)), seed=2)
    before = copy_of(network)
    transfer(network, source.state_dict(), theirs, keep_classes=True)
    for kind in ("weight", "bias"):
        ours, old, known = (
            state[f"parts.output.classes.{kind}"] for state in (network.state_dict(), before, source.state_dict())
        )
        assert torch.equal(ours, torch.stack([known[2], old[1], known[1]]))
        assert torch.equal(network.state_dict()[f"parts.output.arousal.{kind}"], before[f"parts.output.arousal.{kind}"])
    assert changed_parts(network, before) == ALL_PARTS


def test_no_class_to_keep_is_named() -> None:
    source = build_network(SMALL, CLASSES, seed=1)
    network = build_network(SMALL, Outputs(labels=("sadness", "fear")), seed=2)
    before = copy_of(network)
    with pytest.raises(MienError, match="no class to keep: the weights know anger, happiness, neutral"):
        transfer(network, source.state_dict(), CLASSES, keep_classes=True)
    assert changed_parts(network, before) == []


@pytest.mark.parametrize("architecture", ["parts_subnet_48", "mini_xception_dense"])
def test_a_head_for_landmarks_gives_way_to_one_for_classes(architecture: str) -> None:
    theirs = Outputs(points="eyes")
    source = build_network(architecture, theirs, seed=1)
    train_a_step(source)
    network = build_network(architecture, CLASSES, seed=2)
    before = copy_of(network)
    transfer(network, source.state_dict(), theirs)
    # Paper 004's heads have one and two hidden layers; where heads differ in the output alone, only that starts anew.
    anew = ("dense1", "dense2", "output") if architecture == "parts_subnet_48" else ("output",)
    for name, tensor in network.state_dict().items():
        known = before[name] if name.split(".")[1] in anew else source.state_dict()[name]
        assert torch.equal(tensor, known), name


def test_landmarks_are_carried_over_where_they_are_of_the_same_part() -> None:
    theirs = Outputs(points="eyes", scales=True)
    source = build_network("parts_subnet_48", theirs, seed=1)
    same, other = (build_network("parts_subnet_48", Outputs(points=points), seed=2) for points in ("eyes", "mouth"))
    for network in (same, other):
        transfer(network, source.state_dict(), theirs)
    weights = [network.parts["output"]["landmarks"].weight for network in (source, same)]
    assert torch.equal(*weights)
    assert torch.equal(other.parts["dense1"].weight, source.parts["dense1"].weight)
    assert other.parts["output"]["landmarks"].weight.shape == (40, 128)


def test_weights_of_another_architecture_are_refused_and_nothing_is_changed() -> None:
    source = build_network("mobilenet_v1_48_w050", CLASSES, seed=0)
    network = build_network(SMALL, CLASSES, seed=0)
    before = copy_of(network)
    with pytest.raises(
        MienError, match=rf"not those of {SMALL}: parts\.conv1.* is \(16, 3, 3, 3\), not \(8, 3, 3, 3\)"
    ):
        transfer(network, source.state_dict(), CLASSES)
    tensors = source.state_dict()
    del tensors["parts.conv1.0.weight"]
    with pytest.raises(MienError, match=r"parts\.conv1\.0\.weight is missing"):
        transfer(network, tensors, CLASSES)
    assert changed_parts(network, before) == []


def test_a_failure_at_the_end_leaves_the_beginning_too() -> None:
    network = build_network(SMALL, CLASSES, seed=0)
    tensors = build_network(SMALL, CLASSES, seed=1).state_dict()
    del tensors["parts.output.classes.bias"]
    before = copy_of(network)
    with pytest.raises(MienError, match=r"parts\.output\.classes\.bias is missing"):
        transfer(network, tensors, CLASSES)
    assert changed_parts(network, before) == []
