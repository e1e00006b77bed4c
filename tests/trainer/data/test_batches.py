"""Batches: balance, order, and that neither processes nor interruptions change what is learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.bundle import InputSpec
from mien.errors import MienError
from trainer.data.augmentation import PRESETS, move_points
from trainer.data.batches import Batch, Batches, Examples, find_labels, make_examples
from trainer.data.crops import Crops, stored_size
from trainer.data.labels import UNKNOWN
from trainer.data.pictures import PictureFile
from trainer.data.sample import Sample, SampleList, Subset
from trainer.data.splits import divide, draw
from trainer.stages.recipe import Balance, Split

SPEC = InputSpec(4, 4, "grey", (0.0,), (1.0,))
LABELS = ("neutral", "happiness", "fear")


def crops_of(samples: Sequence[Sample], states: Sequence[int] | None = None, room: float = 1.0) -> Crops:
    count, (height, width) = len(samples), stored_size(SPEC, room)
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 1), np.uint8)
    squares = np.zeros((count, 4), np.float32)
    dataset = SampleList("faces", samples)
    return Crops(dataset, SPEC, (height, width), False, np.array(states or [1] * count, np.uint8), squares, pixels)


def sample(number: int, **labels: object) -> Sample:
    return Sample(PictureFile(Path(f"{number}.png")), "all", **labels)  # type: ignore[arg-type]


def examples(counts: Sequence[int], room: float = 1.0) -> Examples:
    """So many pictures of each label, mixed."""
    names = np.random.default_rng(1).permutation(np.repeat(LABELS[: len(counts)], counts))
    crops = crops_of([sample(number, expression=str(name)) for number, name in enumerate(names)], room=room)
    return make_examples(crops.dataset, crops, "expression", LABELS[: len(counts)])


def numbers(batches: Sequence[Batch]) -> list[int]:
    return [number for batch in batches for number in batch.numbers.tolist()]


# ---- examples


def test_examples_leave_out_what_says_nothing_of_the_target() -> None:
    samples = [
        sample(0, expression="fear", valence=0.5, arousal=-0.5, person="b"),
        sample(1, person="a"),
        sample(2, expression="contempt", person="b"),
        sample(3, valence=0.25, arousal=0.0, category="cup"),
        sample(4, expression="fear"),
    ]
    crops = crops_of(samples, [1, 1, 1, 1, 2])
    made = make_examples(crops.dataset, crops, "expression", LABELS)
    assert (made.numbers.tolist(), made.classes.tolist(), made.people.tolist()) == ([0], [2], ["b"])
    assert made.left_out == {"no face found": 1, "no expression": 2, "expression contempt not learned": 1}
    assert made.names == ["0.png"]
    both = make_examples(crops.dataset, crops, "affect", LABELS)
    assert (both.numbers.tolist(), both.classes.tolist()) == ([0, 3], [2, UNKNOWN])
    np.testing.assert_array_equal(both.valence, np.float32([0.5, 0.25]))
    alone = make_examples(crops.dataset, crops, "arousal", ())
    assert (alone.numbers.tolist(), alone.classes.tolist()) == ([0, 3], [UNKNOWN, UNKNOWN])
    people = make_examples(crops.dataset, crops, "identity", ("a", "b"))
    assert (people.numbers.tolist(), people.classes.tolist()) == ([0, 1, 2], [1, 0, 1])
    assert people.subset(np.array([2, 4, 1])).numbers.tolist() == [1, 2]
    with pytest.raises(MienError, match=r"faces has no picture .* category \(1 × no face found, 3 × no category"):
        make_examples(crops.dataset, crops, "category", ("bowl",))


class Counted(SampleList):
    """Counts how often samples are looked at."""

    looks = 0

    def __getitem__(self, index: int) -> Sample:
        self.looks += 1
        return super().__getitem__(index)


def test_labels_are_read_once_however_many_jobs_ask_for_them() -> None:
    dataset = Counted("x", [sample(number, expression=LABELS[number % 3], person=f"p{number}") for number in range(30)])
    crops = replace(crops_of([sample(number) for number in range(30)]), dataset=dataset)
    for seed in range(3):
        (parts,) = divide(dataset, Split("holdout", by_person=True), seed)
        assert find_labels(Subset(dataset, parts.train), "expression") == LABELS
        assert len(draw(dataset, parts.train, "expression", 6, seed)) == 6
        assert make_examples(dataset, crops, "expression", LABELS).people.tolist() == [f"p{n}" for n in range(30)]
    assert dataset.looks == 30


def test_labels_are_found_in_a_fixed_order() -> None:
    dataset = SampleList(
        "x", [sample(0, expression="fear", person="p9"), sample(1, expression="neutral", person="p10", category="cup")]
    )
    assert find_labels(dataset, "expression") == ("neutral", "fear")
    assert find_labels(dataset, "affect", ["fear", "neutral"]) == ("fear", "neutral")
    assert find_labels(dataset, "identity", ["fear"]) == ("p10", "p9")
    assert find_labels(dataset, "category") == ("cup",)
    assert find_labels(dataset, "valence") == ()


# ---- balance

Counts = st.lists(st.integers(1, 40), min_size=3, max_size=3)


@given(Counts, st.integers(0, 50))
@settings(max_examples=50, deadline=None)
def test_down_takes_so_many_of_each_class_without_repeating(counts: list[int], limit: int) -> None:
    batches = Batches(examples(counts), 2, balance=Balance("down", limit))
    classes = Counter(int(one) for batch in batches.epoch(0) for one in batch.classes)
    missing = sum(min(size, limit or min(counts)) for size in counts) - sum(classes.values())
    assert missing in (0, 1), "of an odd number one is left out: a batch needs two"
    assert all(classes[one] <= min(size, limit or min(counts)) for one, size in enumerate(counts))
    seen = numbers(list(batches.epoch(0)))
    assert len(set(seen)) == len(seen)


@given(Counts)
@settings(max_examples=50, deadline=None)
def test_up_repeats_small_classes_evenly_until_all_are_equal(counts: list[int]) -> None:
    whole = examples(counts)
    batches = Batches(whole, 3 * max(counts) + 2, balance=Balance("up"))
    (batch,) = batches.epoch(4)
    assert Counter(batch.classes.tolist()) == dict.fromkeys(range(3), max(counts))
    times = Counter(batch.numbers.tolist())
    assert set(times) == set(whole.numbers.tolist())
    for one, size in enumerate(counts):
        own = [times[number] for number in whole.numbers[whole.classes == one].tolist()]
        assert {min(own), max(own)} <= {max(counts) // size, -(-max(counts) // size)}


def test_repeated_pictures_are_augmented_differently() -> None:
    batches = Batches(examples([2, 40, 40], room=1.5), 200, "paper_001", Balance("up"))
    (batch,) = batches.epoch(0)
    (copies,) = (batch.images[batch.numbers == number] for number in [int(batch.numbers[batch.classes == 0][0])])
    assert len(copies) == 20
    assert len({copy.numpy().tobytes() for copy in copies}) > 10


@given(Counts)
@settings(max_examples=30, deadline=None)
def test_weights_are_inverse_to_the_classes_and_one_in_the_mean(counts: list[int]) -> None:
    weights = Batches(examples(counts), 2, balance=Balance("weighted")).class_weights
    assert weights is not None
    shares = weights.numpy() * counts
    np.testing.assert_allclose(shares, shares[0], rtol=1e-5)
    assert shares.sum() / sum(counts) == pytest.approx(1, rel=1e-5)


def test_without_balance_all_are_shown_and_nothing_is_weighed() -> None:
    batches = Batches(examples([5, 1, 2]), 4)
    assert batches.class_weights is None
    assert sorted(numbers(list(batches.epoch(0)))) == list(range(8))


# ---- order


@given(
    st.integers(12, 90),
    st.integers(6, 24),
    st.sampled_from([1, 2, 3]),
    st.integers(0, 3),
    st.sampled_from(["none", "paper_003"]),
)
@settings(max_examples=40, deadline=None)
def test_processes_share_the_batches_of_one(count: int, size: int, world: int, epoch: int, preset: str) -> None:
    whole = examples([count])
    if count % size < 2 * world:
        count -= count % size
        whole = whole.subset(np.arange(count))
    alone = list(Batches(whole, size, preset, seed=7).epoch(epoch))
    shares = [
        list(Batches(whole, size, preset, seed=7, rank=rank, world_size=world).epoch(epoch)) for rank in range(world)
    ]
    for batch, *parts in zip(alone, *shares, strict=True):
        assert min(len(part.images) for part in parts) >= 2
        for rank, part in enumerate(parts):
            for field, own in zip(batch, part, strict=True):
                torch.testing.assert_close(own, field[rank::world], rtol=0, atol=0, equal_nan=True)


@given(st.integers(4, 60), st.integers(2, 20), st.integers(0, 20), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_an_epoch_goes_on_from_any_batch_as_if_it_had_not_stopped(
    count: int, size: int, first: int, epoch: int
) -> None:
    whole = examples([count])
    every = list(Batches(whole, size, "paper_003", seed=3).epoch(epoch))
    rest = list(Batches(whole, size, "paper_003", seed=3).epoch(epoch, first))
    assert len(rest) == max(0, len(every) - first)
    for ours, theirs in zip(rest, every[first:], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    whole = examples([50])
    batches = Batches(whole, 50, seed=1)
    orders = [numbers(list(one)) for one in (batches.epoch(0), batches.epoch(1), Batches(whole, 50, seed=2).epoch(0))]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert numbers(list(batches.epoch(0))) == orders[0]


@pytest.mark.parametrize(("count", "world", "batches", "pictures"), [(20, 1, 2, 20), (17, 1, 2, 16), (19, 2, 2, 16)])
def test_a_last_batch_too_small_to_normalise_is_left_out(count: int, world: int, batches: int, pictures: int) -> None:
    made = Batches(examples([count]), 8 if count != 20 else 16, world_size=world)
    assert (len(made), made.pictures, len(list(made.epoch(0)))) == (batches, pictures, batches)


def test_tests_show_every_picture_once_in_order_and_as_the_robot_does() -> None:
    whole = examples([9, 8], room=1.5)
    made = Batches(whole, 8, "paper_001", Balance("down", 1), is_training=False)
    shown = list(made.epoch(0))
    assert numbers(shown) == list(range(17))
    assert (len(made), made.class_weights) == (3, None)
    images = torch.cat([batch.images for batch in shown])
    pixels = whole.crops.pixels(np.arange(17))
    np.testing.assert_array_equal(images[:, 0].numpy(), pixels[:, 1:5, 1:5, 0])
    assert shown[0].classes.dtype == shown[0].numbers.dtype == torch.int64


# ---- what cannot be


def test_a_class_without_a_picture_is_named() -> None:
    whole = examples([3, 4, 5])
    part = whole.subset(whole.numbers[whole.classes != 1])
    with pytest.raises(MienError, match="faces: the training part has no picture of happiness"):
        Batches(part, 4)
    Batches(part, 4, is_training=False)


def test_classes_cannot_be_balanced_where_none_are_learned() -> None:
    crops = crops_of([sample(number, valence=0.5) for number in range(4)])
    made = make_examples(crops.dataset, crops, "valence", ())
    assert len(Batches(made, 4)) == 1
    with pytest.raises(MienError, match="balance 'up' needs classes"):
        Batches(made, 4, balance=Balance("up"))


@pytest.mark.parametrize(("count", "size", "world"), [(3, 8, 2), (1, 4, 1), (20, 3, 2)])
def test_too_few_pictures_for_the_processes_are_refused(count: int, size: int, world: int) -> None:
    with pytest.raises(MienError, match="too few for"):
        Batches(examples([count]), size, world_size=world)


# ---- landmarks


def located_crops(count: int, room: float = 1.0) -> Crops:
    """Pictures of 40 pixels whose middle 20 are the face; the last one has no landmarks, the first one only some."""
    points = np.random.default_rng(3).uniform(10, 29, (count, 68, 2)).astype(np.float32)
    points[0, 5:], points[-1] = np.nan, np.nan
    seen = np.arange(68) % 3 > 0
    crops = crops_of([sample(number, visible=seen, yaw=10.0 * number) for number in range(count)], room=room)
    return replace(crops, squares=np.full((count, 4), (10, 10, 20, 20), np.float32), landmarks=points)


def test_landmarks_are_given_across_the_crop_and_their_pictures_left_out_where_there_are_none() -> None:
    crops = located_crops(5)
    made = make_examples(crops.dataset, crops, "landmarks", ())
    assert made.numbers.tolist() == [0, 1, 2, 3]
    assert made.left_out == {"no landmarks": 1}
    assert made.located is not None
    assert crops.landmarks is not None
    np.testing.assert_allclose(made.located.points, (crops.landmarks[:4] + 0.5 - 10) / 20, atol=1e-6)
    assert made.located.visible.sum(axis=1).tolist() == [3, 45, 45, 45]
    part = made.subset(np.array([1, 3, 4]))
    assert part.located is not None
    assert part.located.yaw.tolist() == [10, 30]
    assert part.left_out == {"no landmarks": 1}
    assert make_examples(crops.dataset, crops, "landmarks", ()).take(np.array([2])).located is not None


@pytest.mark.parametrize("room", [1.0, 1.5])
def test_batches_carry_landmarks_where_the_augmentation_has_moved_them(room: float) -> None:
    crops = located_crops(7, room)
    made = make_examples(crops.dataset, crops, "landmarks", ())
    assert made.located is not None
    (shown,) = Batches(made, 8, is_training=False).epoch(0)
    np.testing.assert_array_equal(shown.landmarks.numpy(), made.located.points)
    (batch,) = Batches(made, 8, "flip", seed=4).epoch(2)
    order = batch.numbers.numpy()
    places, size = np.searchsorted(made.numbers, order), crops.size
    draws = 4, 2, order, np.zeros_like(order)
    wanted = move_points(made.located.points[places], size, SPEC, PRESETS["flip"], *draws)
    np.testing.assert_array_equal(batch.landmarks.numpy(), wanted)
    assert not np.array_equal(wanted, made.located.points[places], equal_nan=True)


def test_what_else_is_learned_carries_no_landmarks() -> None:
    (batch,) = Batches(examples([3, 3]), 6, is_training=False).epoch(0)
    assert batch.landmarks.shape == (6, 0, 2)
