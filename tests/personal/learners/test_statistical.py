"""Learners that need the base data's statistics: prototypes, discriminant analysis, re-centring."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from mien.errors import MienError
from mien.expression.head import HeadSpec, softmax
from mien.personal.gate import score
from mien.personal.learners import LEARNERS, say_nothing
from mien.personal.learners.lda import Lda
from mien.personal.learners.prototypes import Classes, NormalClasses, Prototypes
from mien.personal.learners.recentre import Recentre
from mien.personal.samples import BaseHead, Samples
from mien.personal.statistics import measure_statistics
from tests.personal.heads import HEADS, World, make_base, make_samples, output, part

names = pytest.mark.parametrize("name", ["prototypes", "lda", "recentre"])


def score_of(name: str, base: BaseHead, learned: Samples, tested: Samples) -> float:
    return score(base, LEARNERS[name].fit(base, learned, None, 0, say_nothing), tested)


@names
def test_without_samples_or_for_heads_without_statistics(name: str) -> None:
    world = World()
    found = LEARNERS[name].fit(world.base, world.mixed(world.means, 0), None, 0, say_nothing)
    for tensor, values in found.items():
        np.testing.assert_array_equal(values, world.base.tensors[tensor])
    bare = World(statistics=False)
    with pytest.raises(MienError, match="statistics"):
        LEARNERS[name].fit(bare.base, bare.mixed(bare.means, 5), None, 0, say_nothing)


@names
def test_the_order_does_not_matter(name: str) -> None:
    world = World()
    samples = world.mixed(world.person(0.5), 40)
    first = LEARNERS[name].fit(world.base, samples, None, 0, say_nothing)
    other = LEARNERS[name].fit(world.base, samples.take(np.arange(40)[::-1]), None, 0, say_nothing)
    for tensor in first:
        np.testing.assert_allclose(first[tensor], other[tensor], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["prototypes", "lda", "ridge"])
def test_labels_of_a_different_person_help(name: str) -> None:
    world = World()
    gains = []
    for _ in range(8):
        person = world.person(0.5)
        tested = world.mixed(person, 400)
        gains.append(score_of(name, world.base, world.mixed(person, 64), tested))
        gains[-1] -= score(world.base, world.base.tensors, tested)
    assert min(gains) > 0
    assert np.mean(gains) > 0.02


def test_recentring_undoes_other_looks_without_labels() -> None:
    world = World()
    person = world.person(0.0, looks=0.7)
    tested = world.mixed(person, 400)
    unlabelled = replace(world.mixed(person, 300), classes=np.full((300, 4), np.nan, np.float32))
    before = score(world.base, world.base.tensors, tested)
    typical = score(world.base, world.base.tensors, world.mixed(world.means, 400))
    after = score_of("recentre", world.base, unlabelled, tested)
    assert after > before + 0.5 * (typical - before)


@pytest.mark.parametrize("kind", HEADS)
def test_recentring_is_a_shift_of_the_embedding(kind: str) -> None:
    base, samples = make_base(kind), make_samples(make_base(kind), 30)
    faces = make_samples(base, 200, seed=3)
    shifted = replace(samples, embeddings=samples.embeddings + 1)
    full = replace(base, tensors={**base.tensors, **measure_statistics(base, faces.embeddings, faces.classes)})
    found = Recentre(hesitation=0.0).fit(full, shifted, None, 0, say_nothing)
    away = shifted.embeddings.mean(axis=0) - full.tensors["statistics.embedding_mean"]
    centred = replace(samples, embeddings=(shifted.embeddings - away).astype(np.float32))
    assert score(base, found, shifted) == pytest.approx(score(base, base.tensors, centred), abs=1e-5)


@pytest.mark.parametrize("learner", [Prototypes(hesitation=1e-9), Lda(hesitation=1e-9, base_moments=1e-3)])
def test_with_much_data_it_is_fishers_discriminant(learner: NormalClasses) -> None:
    world = World()
    person = world.person(0.5)
    samples = world.mixed(person, 1500)
    found = learner.fit(world.base, samples, None, 0, say_nothing)
    truth = person - person.mean(axis=0)  # the clouds are round
    weight = found["c.weight"] - found["c.weight"].mean(axis=0)
    assert np.corrcoef(weight.ravel(), truth.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("name", ["prototypes", "recentre"])
def test_features_that_say_the_same_do_not_count_twice(name: str) -> None:
    world = World()
    samples = world.mixed(world.person(0.5), 40)
    spec = msgspec.convert({"classes": output("softmax", part("face", 0, 120, ("c", "linear")))}, HeadSpec)
    weight = np.hstack([world.base.tensors["c.weight"] / 2] * 2)
    twice = {
        tensor: weight if tensor == "c.weight" else np.hstack([values] * 2) if "statistics" in tensor else values
        for tensor, values in world.base.tensors.items()
    }
    doubled = BaseHead(spec, twice, world.base.labels, 120, None)
    embeddings = np.hstack([samples.embeddings] * 2)
    once = LEARNERS[name].fit(world.base, samples, None, 0, say_nothing)
    found = LEARNERS[name].fit(doubled, replace(samples, embeddings=embeddings), None, 0, say_nothing)
    wanted = softmax(samples.embeddings @ once["c.weight"].T + once["c.bias"])
    told = softmax(embeddings @ found["c.weight"].T + found["c.bias"])
    np.testing.assert_allclose(told, wanted, atol=1e-3)


def test_the_covariance_moves_from_the_base_datas_to_the_persons() -> None:
    random = np.random.default_rng(0)
    classes = Classes(
        base_means=random.normal(size=(3, 8)),
        base_variance=random.uniform(0.5, 2, 8),
        means=random.normal(size=(3, 8)),
        deviations=random.normal(size=(5, 8)),
    )
    covariance = (20 * np.diag(classes.base_variance) + classes.deviations.T @ classes.deviations) / 25
    found = Lda(base_moments=20).whiten(classes)
    np.testing.assert_allclose(found, np.linalg.solve(covariance, classes.means.T).T, rtol=1e-9)
