"""The streaming sampler: what it may never do, and what it must be good for."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import MienError
from mien.personal.samples import Array
from mien.personal.stream import MOST_KEPT, MOST_PEOPLE, MOST_TOKENS, SHORTEST_GAP_S, StreamSampler

HOUR_S = 3600
LOOKS = 8


def predictions_of(embeddings: Array) -> Array:
    """What a fixed head says, (N, 4)."""
    exponents = np.exp(0.3 * embeddings @ np.random.default_rng(0).normal(size=(embeddings.shape[1], 4)))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


def varied(moments: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(moments, 16)).astype(np.float32)


def episodes(moments: int, seed: int) -> tuple[Array, list[int]]:
    """A person with one usual look and seven that are seldom seen, ten seconds each; the moments and their looks."""
    random = np.random.default_rng(seed)
    centers = 2 * random.normal(size=(LOOKS, 16))
    share = [0.79] + [0.03] * (LOOKS - 1)
    looks = np.repeat(random.choice(LOOKS, moments // 10, p=share), 10)
    return (centers[looks] + 0.3 * random.normal(size=(len(looks), 16))).astype(np.float32), looks.tolist()


def asked(sampler: StreamSampler, embeddings: Array, step_s: float = 1.0, person_id: str = "ana") -> list[float]:
    """Stamps of the questions about a stream of moments."""
    stamps = np.arange(len(embeddings)) * step_s
    moments = zip(stamps.tolist(), embeddings, predictions_of(embeddings), strict=True)
    return [
        stamp_s
        for stamp_s, embedding, prediction in moments
        if sampler.consider(person_id, stamp_s, embedding, prediction, 1 - float(prediction.max()))
    ]


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from([0.5, 1, 2.5, 6, 60, 3600]), st.sampled_from([0.04, 1, 7, 400]), st.integers(0, 9), st.floats(-3, 3)
)
def test_no_hour_has_more_than_the_budget(per_hour: float, step_s: float, seed: int, growth: float) -> None:
    embeddings = varied(1000, seed) * np.exp(np.linspace(0, growth, 1000))[:, None].astype(np.float32)
    stamps = asked(StreamSampler(per_hour), embeddings, step_s)
    assert all(later - earlier >= SHORTEST_GAP_S for earlier, later in pairwise(stamps))
    for start in stamps:
        assert sum(start <= stamp < start + HOUR_S for stamp in stamps) <= max(per_hour, 1)


def test_an_absence_does_not_save_up_an_hours_questions() -> None:
    sampler = StreamSampler(60)
    embeddings = varied(400)
    sampler.consider("ana", 0.0, embeddings[0], predictions_of(embeddings)[0], 0.5)
    stamps = 10 * HOUR_S + np.arange(400) * 0.5
    predictions = predictions_of(embeddings)
    questions = [
        sampler.consider("ana", float(s), e, p, 0.5) for s, e, p in zip(stamps, embeddings, predictions, strict=True)
    ]
    earned = 400 * 0.5 / 60
    assert sum(question is not None for question in questions) <= MOST_TOKENS + earned


@pytest.mark.parametrize("per_hour", [6, 30])
def test_a_varied_stream_gets_most_of_the_budget(per_hour: int) -> None:
    for seed in range(2):
        assert 0.75 * 2 * per_hour <= len(asked(StreamSampler(per_hour), varied(2 * HOUR_S, seed))) <= 2 * per_hour


def test_seldom_looks_are_asked_about_far_more_often_than_by_chance() -> None:
    questions, usual, kinds = 0, 0, 0
    for seed in range(4):
        embeddings, looks = episodes(2 * HOUR_S, seed)
        chosen = [looks[int(stamp)] for stamp in asked(StreamSampler(6), embeddings)]
        questions, usual, kinds = questions + len(chosen), usual + chosen.count(0), kinds + len(set(chosen) - {0})
    assert questions >= 32
    assert usual / questions < 0.4  # by chance 0.79
    assert kinds / 4 > 4.5  # of seven; by chance 10 questions hit two


def test_a_moment_that_does_not_change_is_never_asked_about() -> None:
    assert asked(StreamSampler(60), np.repeat(varied(1), HOUR_S, axis=0)) == []


def test_zero_never_asks() -> None:
    assert asked(StreamSampler(0), varied(HOUR_S), 60) == []


@pytest.mark.parametrize("per_hour", [-1.0, np.nan, np.inf])
def test_a_budget_that_makes_no_sense_is_refused(per_hour: float) -> None:
    with pytest.raises(MienError, match="questions per hour"):
        StreamSampler(per_hour)


def test_what_the_head_is_sure_of_is_not_asked_about() -> None:
    sampler, embeddings = StreamSampler(60), varied(600)
    moments = zip(embeddings, predictions_of(embeddings), strict=True)
    assert not any(sampler.consider("ana", float(i), e, p, 0.0) for i, (e, p) in enumerate(moments))


def test_people_share_the_budget_and_whom_little_is_known_of_is_asked() -> None:
    sampler, embeddings = StreamSampler(30), varied(HOUR_S)
    predictions = predictions_of(embeddings)
    for row in range(MOST_KEPT):
        sampler.remember("known", embeddings[row], predictions[row])
    counts = {"known": 0, "new": 0}
    for second in range(HOUR_S):
        for person_id, row in (("known", second % MOST_KEPT), ("new", second)):
            question = sampler.consider(person_id, float(second), embeddings[row], predictions[row], 0.5)
            counts[person_id] += question is not None
    assert counts["known"] == 0 < counts["new"] <= 30


def test_who_is_forgotten_is_new_again() -> None:
    sampler, embeddings = StreamSampler(30), varied(MOST_KEPT)
    predictions = predictions_of(embeddings)
    for row in range(MOST_KEPT):
        sampler.remember("ana", embeddings[row], predictions[row])

    def questions(start_s: int) -> int:
        rows = [second % MOST_KEPT for second in range(HOUR_S)]
        return sum(
            sampler.consider("ana", float(start_s + second), embeddings[row], predictions[row], 0.5) is not None
            for second, row in enumerate(rows)
        )

    assert questions(0) == 0
    sampler.forget("ana")
    sampler.forget("nobody")
    assert questions(HOUR_S) > 0


def test_the_reason_can_be_read() -> None:
    sampler, embeddings = StreamSampler(6), varied(HOUR_S)
    moments = enumerate(zip(embeddings, predictions_of(embeddings), strict=True))
    question = next(q for i, (e, p) in moments if (q := sampler.consider("ana", float(i), e, p, 0.43)))
    assert question.score > 0
    assert re.search(r"the best .* of the last 10 min", question.reason)
    assert "uncertainty 0.43" in question.reason


def test_a_clock_set_back_and_another_model_do_no_harm() -> None:
    sampler = StreamSampler(60)
    assert asked(sampler, varied(600))
    spent = asked(sampler, varied(600))  # from 0 s again
    assert 0 < len(spent) <= 12
    assert asked(sampler, np.random.default_rng(1).normal(size=(600, 24)).astype(np.float32))


def test_numbers_that_are_not_finite_change_nothing() -> None:
    sampler, embeddings = StreamSampler(60), varied(600)
    bad = np.full(16, np.nan, np.float32)
    assert sampler.consider("ana", 0.0, bad, predictions_of(embeddings)[0], 0.5) is None
    assert asked(sampler, embeddings)


def test_memory_is_bounded_and_a_moment_takes_a_fifth_of_a_millisecond() -> None:
    sampler, embeddings = StreamSampler(3600), np.random.default_rng(0).normal(size=(200, 1152)).astype(np.float32)
    predictions = predictions_of(embeddings)
    for person in range(2 * MOST_PEOPLE):
        for row in range(MOST_KEPT + 5):
            sampler.remember(str(person), embeddings[row], predictions[row])
    times_ms = []
    for second, (embedding, prediction) in enumerate(zip(embeddings, predictions, strict=True)):
        started = time.perf_counter()
        sampler.consider("0", float(second), embedding, prediction, 0.5)
        times_ms.append((time.perf_counter() - started) * 1e3)
    assert np.median(times_ms) < 0.2
