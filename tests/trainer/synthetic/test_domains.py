"""What is in each domain: labels, people, splits, sequences; and that the same seed gives the same pixels."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.expression.circumplex import COORDINATES
from trainer.data.synthetic import home
from trainer.data.synthetic.domains import DOMAINS, find_domain
from trainer.data.synthetic.labels import Label
from trainer.data.synthetic.objects import OBJECTS
from trainer.data.synthetic.prototypes import EXPRESSIONS
from trainer.data.synthetic.sample import make_sample
from trainer.data.synthetic.studio import Studio

ROOT = Path(__file__).resolve().parents[3]
CHOSEN = [("wild", 3), ("wild", 4), ("lab_a", 17), ("lab_b", 30), ("person", 9), ("identity_b", 12), ("objects", 2)]

HASHES = """
import hashlib, sys
from trainer.data.synthetic.domains import find_domain
from trainer.data.synthetic.sample import make_sample
for pair in sys.argv[1:]:
    name, index = pair.split(":")
    image, label = make_sample(find_domain(name), 5, int(index), 96)
    print(pair, hashlib.sha256(image.tobytes() + repr(label).encode()).hexdigest())
"""


def labels_of(name: str, indices: range, side: int = 96) -> list[Label]:
    return [make_sample(find_domain(name), 0, index, side)[1] for index in indices]


def test_the_same_seed_gives_the_same_pixels_in_another_process_and_order(small_studio: Studio) -> None:
    pairs = [f"{name}:{index}" for name, index in reversed(CHOSEN)]
    command = [sys.executable, "-c", HASHES, *pairs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    elsewhere = dict(line.split() for line in done.stdout.splitlines())
    for name, index in CHOSEN:
        image, label = make_sample(find_domain(name), 5, index, 96)
        own = hashlib.sha256(image.tobytes() + repr(label).encode()).hexdigest()
        assert elsewhere[f"{name}:{index}"] == own, (name, index)


def test_another_seed_gives_other_people(small_studio: Studio) -> None:
    first, second = (make_sample(find_domain("wild"), seed, 0, 96) for seed in (0, 1))
    assert first[1].person != second[1].person
    assert np.abs(first[0].astype(int) - second[0]).mean() > 10


@pytest.mark.parametrize("name", DOMAINS)
def test_nobody_is_in_two_splits(name: str) -> None:
    domain = find_domain(name)
    splits = defaultdict(set)
    shares = defaultdict(int)
    for index in range(domain.count):
        group = index if name == "person" else domain.person_number(index)
        splits[group].add(domain.split(index))
        shares[domain.split(index)] += 1
    assert {len(found) for found in splits.values()} == {1}
    assert shares["train"] / domain.count == pytest.approx(0.7, abs=0.05)
    assert shares["test"] / domain.count == pytest.approx(0.2, abs=0.05)
    assert shares["validation"] > 0


def test_a_person_with_another_shift_has_the_same_face_and_feelings(small_studio: Studio) -> None:
    pairs = [[make_sample(find_domain(name), 3, index, 96)[1] for name in ("person", "person@0")] for index in (9, 200)]
    for own, shifted in pairs:
        assert (own.person, own.label, own.valence, own.arousal) == (
            *(shifted.person, shifted.label, shifted.valence, shifted.arousal),
        )
        assert (own.domain, shifted.domain) == ("person", "person@0")


@pytest.mark.parametrize("name", ["person@", "person@2.1", "person@-1", "person@x", "wild@1", "person@1@1"])
def test_a_shift_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(MienError) as caught:
        find_domain(name)
    assert "0 to 2" in caught.value.remedy


def test_moments_of_one_person_that_look_alike_are_on_one_side() -> None:
    domain = find_domain("person")
    splits = [domain.split(index) for index in range(domain.count)]
    assert [split for split, _ in groupby(splits)] == ["train", "validation", "test"]
    minutes_between = 4.0 * (splits.index("test") - splits.index("validation")) / 60
    assert minutes_between >= 3


def test_one_person_is_neutral_now_and_then_in_every_split() -> None:
    domain = find_domain("person")
    assert domain.plan is not None
    for seed in range(3):
        neutral = Counter(
            domain.split(index)
            for index in range(domain.count)
            if domain.plan(domain, seed, index, 32).scene.expression.label == "neutral"
        )
        assert 0.08 <= neutral.total() / domain.count <= 0.25
        assert set(neutral) == {"train", "validation", "test"}


def test_the_labs_have_the_people_they_promise() -> None:
    lab_a, lab_b, person = (find_domain(name) for name in ("lab_a", "lab_b", "person"))
    assert len({lab_a.person_number(index) for index in range(lab_a.count)}) == 120
    assert len({lab_b.person_number(index) for index in range(lab_b.count)}) == 10
    assert len({person.person_number(index) for index in range(person.count)}) == 1


def test_lab_a_has_a_sequence_of_each_expression_from_neutral_to_peak(small_studio: Studio) -> None:
    labels = labels_of("lab_a", range(48))
    sequences = defaultdict(list)
    for label in labels:
        sequences[label.sequence].append(label)
    assert len({label.person for label in labels}) == 1
    assert {one[-1].label for one in sequences.values()} == set(EXPRESSIONS)
    for one in sequences.values():
        assert [label.frame for label in one] == list(range(6))
        assert one[0].label == "neutral"
        assert one[0].valence == 0
        assert all(np.diff([label.intensity for label in one]) >= 0)
        assert one[-1].label == "neutral" or one[-1].intensity >= 0.7


def test_lab_b_is_subtle_and_knows_no_contempt(small_studio: Studio) -> None:
    labels = labels_of("lab_b", range(21))
    assert {label.label for label in labels} == set(EXPRESSIONS) - {"contempt"}
    assert max(label.intensity for label in labels) <= 0.7
    assert all(label.female for label in labels)


def test_wild_has_everything() -> None:
    domain = find_domain("wild")
    assert domain.plan is not None
    planned = [domain.plan(domain, 0, index, 32) for index in range(400)]
    counts = Counter(one.scene.expression.label for one in planned)
    assert set(counts) == set(EXPRESSIONS)
    assert min(counts.values()) >= 25, counts
    assert len({one.scene.person.name for one in planned}) == 100
    assert {"mask", "hand", "sunglasses", ""} == {one.occlusion for one in planned}
    assert sum(one.scene.expression.talking for one in planned) > 20
    assert max(abs(one.scene.shot.yaw) for one in planned) > 30
    mixed = [one.scene.expression for one in planned if " with " in one.scene.expression.prototype]
    assert any(expression.label == "neutral" for expression in mixed), "ambiguous neutrals"
    assert sum(one.scene.degradation.is_grey for one in planned) > 20
    assert {one.scene.person.female for one in planned} == {True, False}


def test_home_has_many_faces_at_rest_that_look_like_something_else() -> None:
    domain, wild = find_domain("home"), find_domain("wild")
    assert domain.plan is not None
    assert wild.plan is not None
    planned, others = ([one.plan(one, 0, index, 32) for index in range(600)] for one in (domain, wild))
    expressions = [one.scene.expression for one in planned]
    counts = Counter(one.label for one in expressions)
    assert set(counts) == set(EXPRESSIONS)
    assert 0.3 <= counts["neutral"] / 600 <= 0.42
    assert min(counts.values()) >= 30, counts
    neutral = [one for one in expressions if one.label == "neutral"]
    hard = Counter(name for one in neutral for name in one.prototype.partition(" with ")[0].split(", "))
    assert set(hard) == {"relaxed", *home.RESTING}
    assert min(hard.values()) >= 15, hard
    assert all(one.valence == one.arousal == 0 for one in neutral if " with " not in one.prototype)
    assert max(abs(value) for one in neutral for value in (one.valence, one.arousal)) < 0.2
    shown = [
        float(np.median([one.intensity for one in some if one.label != "neutral"]))
        for some in (expressions, [one.scene.expression for one in others])
    ]
    assert shown[0] < shown[1]
    yaw = np.abs([one.scene.shot.yaw for one in planned])
    assert yaw.max() <= 40
    assert (yaw > 25).mean() > 0.1
    for has in (
        lambda one: one.scene.expression.talking,
        lambda one: one.scene.worn.glasses,
        lambda one: one.scene.degradation.is_grey,
        lambda one: one.scene.degradation.resolution < 0.6,
        lambda one: max(one.scene.person.appearance.beard, one.scene.person.appearance.stubble) > 0,
    ):
        usual, here = (sum(map(has, some)) for some in (others, planned))
        assert 600 * 0.1 < here > 1.15 * usual


def test_faces_in_the_wild_are_not_too_dark_to_read(small_studio: Studio) -> None:
    domain = find_domain("wild")
    assert domain.plan is not None
    planned = [domain.plan(domain, 0, index, 96).scene for index in (25, 187, 226, 311)]  # little light, dark exposure
    for scene in planned:
        shown = small_studio.shoot(scene)
        column, row = np.rint(shown.landmarks[shown.visible].T).astype(int)
        assert shown.image[row, column].mean() > 0.15 * 255
        as_exposed = small_studio.shoot(replace(scene, degradation=replace(scene.degradation, darkest_face=0.0)))
        assert as_exposed.image[row, column].mean() < shown.image[row, column].mean()


def test_labels_are_complete_and_follow_the_rule(small_studio: Studio) -> None:
    for label in labels_of("wild", range(12)):
        assert len(label.landmarks) == len(label.visible) == 68
        assert set(label.visible) <= {0, 1}
        if " with " not in label.prototype:
            assert label.valence == pytest.approx(label.intensity * COORDINATES[label.label][0], abs=1e-3)
            assert label.arousal == pytest.approx(label.intensity * COORDINATES[label.label][1], abs=1e-3)


def test_identities_stay_the_same_while_faces_change(small_studio: Studio) -> None:
    labels = labels_of("identity_a", range(20))
    assert len({(label.person, label.age_years, label.female) for label in labels}) == 1
    assert len({label.label for label in labels}) >= 4


def test_one_person_is_seen_every_four_seconds(small_studio: Studio) -> None:
    labels = labels_of("person", range(30))
    assert {label.person for label in labels} == {labels[0].person}
    assert {b.time_s - a.time_s for a, b in pairwise(labels)} == {4.0}
    assert np.std([label.valence for label in labels]) > 0.1


def test_objects_are_of_all_kinds_and_need_no_graphics() -> None:
    samples = [make_sample(find_domain("objects"), 0, index, 64) for index in range(100)]
    assert {label.label for _, label in samples} == set(OBJECTS)
    assert all(image.shape == (64, 64, 3) and image.std() > 3 for image, _ in samples)


def test_an_unknown_domain_is_refused_with_the_known_ones() -> None:
    with pytest.raises(MienError, match=r"no domain 'mild'.*wild"):
        find_domain("mild")
