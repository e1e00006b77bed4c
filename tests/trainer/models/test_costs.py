"""What networks cost, beside numbers that were computed by hand and those that paper 004 prints."""

from __future__ import annotations

from itertools import pairwise

import pytest

from trainer import commands
from trainer.models.costs import Cost, costs

CHANNELS = ((3, 16), (16, 32), (32, 64), (64, 128))
AFTER_FIRST, AFTER_POOLING = (158, 77, 36, 16), (79, 38, 18, 8)
"""Sides of the maps of the four blocks."""


@pytest.fixture(scope="module")
def found() -> dict[str, Cost]:
    return {cost.name: cost for cost in costs()}


def dense(*sizes: int) -> int:
    return sum(inputs * units + units for inputs, units in pairwise(sizes))


def test_the_pieces_of_paper_004_are_those_computed_by_hand(found: dict[str, Cost]) -> None:
    convolutions = sum(9 * i * o + o + 9 * o * o + o for i, o in CHANNELS)
    normalisations = sum(2 * 2 * o for _, o in CHANNELS)  # as many again are not trained
    operations = sum(2 * 9 * (i + o) * o * side**2 for (i, o), side in zip(CHANNELS, AFTER_FIRST, strict=True)) + sum(
        o * side**2 for (_, o), side in zip(CHANNELS, AFTER_POOLING, strict=True)
    )
    head, per_face = dense(128, 128, 128, 8), 2 * (128 * 128 + 128 * 128 + 128 * 8)
    by_hand = {
        "004: feature extractor": (convolutions + normalisations, operations, 4 * (convolutions + 2 * normalisations)),
        "004: head for 9 landmarks": (dense(128, 128, 18), 2 * 128 * (128 + 18), 4 * dense(128, 128, 18)),
        "004: head for 68 landmarks": (dense(128, 128, 136), 2 * 128 * (128 + 136), 4 * dense(128, 128, 136)),
        "004: head for 8 classes": (head, per_face, 4 * head),
    }
    assert {name: (found[name].parameters, found[name].flops, found[name].bytes) for name in by_hand} == by_hand
    subnet, five = found["004: sub-network"], found["004: ensemble of five"]
    assert (subnet.parameters, subnet.flops, subnet.bytes) == (328_536, 557_344_016, 1_317_984)
    assert subnet.flops == operations + per_face
    assert (five.parameters, five.flops, five.bytes) == (5 * 328_536, 5 * 557_344_016, 5 * 1_317_984)


def test_they_are_what_the_paper_prints_where_it_counts_right(found: dict[str, Cost]) -> None:
    subnet, five = found["004: sub-network"], found["004: ensemble of five"]
    for cost in (subnet, five):
        assert cost.published.bytes is not None
        assert cost.flops == pytest.approx(cost.published.flops, rel=0.01)
        assert cost.parameters == pytest.approx(cost.published.parameters, rel=0.01)
        assert cost.bytes < cost.published.bytes / 4  # which are not 4 for each parameter
    nose, face = found["004: head for 9 landmarks"], found["004: head for 68 landmarks"]
    assert nose.parameters == pytest.approx(nose.published.parameters, abs=500)
    assert face.published.parameters is not None
    assert face.parameters > 1.3 * face.published.parameters


def test_whole_networks_stand_beside_their_papers(found: dict[str, Cost]) -> None:
    assert found["resnet50"].published.flops == 2 * 4_090e6
    assert found["mobilenet_v1_48"].published.flops is None
    assert found["mobilenet_v1_48"].input == "48x48 rgb"


def test_the_command_shows_counted_beside_published_figures(capsys: pytest.CaptureFixture[str]) -> None:
    commands.architectures()
    line = next(one for one in capsys.readouterr().out.splitlines() if one.startswith("004: sub-network"))
    assert line.split()[2:10] == ["160x160", "grey", "0.3285", "0.33", "0.5573", "0.555", "1.318", "6.3"]
