"""People in a process of their own: asked from any thread, killed at any moment, never in anybody's way.

MIEN_TEST_KILLS is how often it is killed: 20 in every run, 200 now and then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mien.errors import MienError
from mien.personal.client import PeopleClient
from mien.personal.life import MAXIMUM_WAITING
from mien.personal.messages import Kind, Labelled, Outcome, Person, Progress, StoredHead
from mien.personal.sample_rows import MAXIMUM_SAMPLES
from tests.personal.small_people import (
    BASE,
    IDENTITY_SIZE,
    NETWORK,
    embedding,
    open_people,
    otherwise,
    patterns_of,
    says,
    traces,
)

KILLS = int(os.environ.get("MIEN_TEST_KILLS", "20"))
PATIENCE_S = 60


@pytest.fixture
def client(tmp_path: Path) -> Iterator[PeopleClient]:
    opened = PeopleClient(tmp_path / "people", BASE, NETWORK, "identity-one")
    yield opened
    opened.close()


def enroll(client: PeopleClient, person_id: str) -> Future[Person]:
    looks = [embedding(10_000_000 + len(person_id), IDENTITY_SIZE)]  # like no moment
    return client.enroll(Kind.PERSON, person_id, f"Name of {person_id}", True, "May learn from me", (), looks)


def label(client: PeopleClient, person_id: str, seed: int) -> Future[Labelled]:
    return client.add_label(person_id, "", f"moment-{seed}", float(seed), embedding(seed), says(otherwise(seed)))


def processes_of_the_people(module: str = "mien.personal.process") -> list[int]:
    """The numbers of those that this process or its children started; tests before may have left it other children."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if module in child.cmdline():
                found.append(child.pid)
    return found


def process_of_the_people() -> int:
    """The number of the one that has answered."""
    (found,) = processes_of_the_people()
    return found


def test_everything_can_be_asked_through_futures(client: PeopleClient, capfd: pytest.CaptureFixture[str]) -> None:
    anna = enroll(client, "anna").result(PATIENCE_S)
    assert client.list_people().result(PATIENCE_S) == (anna,)
    assert client.add_identity("anna", embedding(3, IDENTITY_SIZE)).result(PATIENCE_S).identities == 2
    assert [one.person_id for one in client.identities().result(PATIENCE_S)] == ["anna", "anna"]
    first, second = (label(client, "anna", seed).result(PATIENCE_S).head for seed in range(2))
    assert first is not None
    assert client.heads().result(PATIENCE_S) == (second,)
    assert client.rollback("anna", 1).result(PATIENCE_S) == first
    assert client.relabel("moment-0", says("neutral")).result(PATIENCE_S).samples == 2
    assert client.remember_satisfaction("anna", "tea", 0.5, 1.0, 9.0, 10.0).result(PATIENCE_S).satisfaction
    assert client.export("anna").result(PATIENCE_S).is_file()
    assert client.problems().result(PATIENCE_S) == ()
    assert client.forget("anna").result(PATIENCE_S).samples == 2
    with pytest.raises(MienError, match="Nobody is enrolled with the id 'anna'"):
        label(client, "anna", 1).result(PATIENCE_S)
    client.close()
    assert capfd.readouterr() == ("", "")


def test_labels_are_not_kept_waiting_by_learning_and_it_can_be_cancelled(client: PeopleClient) -> None:
    enroll(client, "anna").result(PATIENCE_S)
    enroll(client, "bob").result(PATIENCE_S)
    for done in [label(client, "anna", seed) for seed in range(30)]:
        done.result(PATIENCE_S)
    before = client.list_people().result(PATIENCE_S)
    started = threading.Event()
    learning = client.personalise("anna", "sgd", 2_000_000, lambda progress: started.set(), "first")
    waiting = client.personalise("anna", "sgd", 2_000_000, lambda progress: None, "second")
    assert started.wait(PATIENCE_S)
    assert label(client, "bob", 1).result(PATIENCE_S).head is not None
    client.cancel("second").result(PATIENCE_S)
    assert not learning.done()
    client.cancel("first").result(PATIENCE_S)
    assert waiting.result(PATIENCE_S).message == "Cancelled: nothing of it was kept"
    outcome = learning.result(PATIENCE_S)
    assert (outcome.success, outcome.message) == (False, "Cancelled: nothing of it was kept")
    assert outcome.head.version == before[0].head_version
    assert client.list_people().result(PATIENCE_S)[0] == before[0]


def test_progress_arrives_before_the_outcome(client: PeopleClient) -> None:
    enroll(client, "anna").result(PATIENCE_S)
    for done in [label(client, "anna", seed) for seed in range(12)]:
        done.result(PATIENCE_S)
    told: list[Progress] = []
    outcome = client.personalise("anna", "sgd", 30, told.append).result(PATIENCE_S)
    assert told
    assert {one.steps for one in told} == {30}
    assert outcome.samples == 12


@pytest.fixture
def learning(client: PeopleClient) -> Future[Outcome]:
    """Learns for longer than any test takes."""
    enroll(client, "anna").result(PATIENCE_S)
    for done in [label(client, "anna", seed) for seed in range(30)]:
        done.result(PATIENCE_S)
    started = threading.Event()
    learning = client.personalise("anna", "sgd", 2_000_000, lambda progress: started.set(), "run")
    assert started.wait(PATIENCE_S)
    return learning


def process_that_learns() -> int:
    (found,) = processes_of_the_people("mien.personal.afresh")
    return found


def test_what_learns_gets_only_the_time_that_nothing_else_wants_and_nobody_waits_for_it(
    client: PeopleClient, learning: Future[Outcome]
) -> None:
    process = process_that_learns()
    assert os.sched_getscheduler(process) == os.SCHED_IDLE
    os.kill(process, signal.SIGSTOP)  # as if the machine had no time for it
    for seed in range(30, 40):
        assert label(client, "anna", seed).result(PATIENCE_S).head is not None
    client.cancel("run").result(PATIENCE_S)
    assert learning.result(PATIENCE_S).message == "Cancelled: nothing of it was kept"
    wait_for(lambda: not psutil.pid_exists(process))


def test_what_learns_ends_with_the_process_that_keeps_the_people(
    client: PeopleClient, learning: Future[Outcome]
) -> None:
    process = process_that_learns()
    os.kill(process_of_the_people(), signal.SIGKILL)
    with pytest.raises(MienError, match="ended before it had answered"):
        learning.result(PATIENCE_S)
    wait_for(lambda: not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE)


def test_when_what_learns_is_killed_that_is_said_and_all_else_goes_on(
    client: PeopleClient, learning: Future[Outcome]
) -> None:
    before = client.list_people().result(PATIENCE_S)
    os.kill(process_that_learns(), signal.SIGKILL)
    with pytest.raises(MienError, match=r"learns afresh ended before it was done.*SIGKILL.*learn again"):
        learning.result(PATIENCE_S)
    assert client.list_people().result(PATIENCE_S) == before
    assert client.personalise("anna", "sgd", 30, lambda progress: None).result(PATIENCE_S).samples == 30
    assert client.problems().result(PATIENCE_S) == ()


def test_a_mistake_in_a_callback_is_its_owners(client: PeopleClient) -> None:
    enroll(client, "anna").result(PATIENCE_S)
    label(client, "anna", 1).result(PATIENCE_S)

    def fail(progress: Progress) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.personalise("anna", "", 0, fail).result(PATIENCE_S)
    assert client.list_people().result(PATIENCE_S)[0].samples == 1


def test_a_flood_of_labels_is_refused_or_learned_together(client: PeopleClient) -> None:
    enroll(client, "anna").result(PATIENCE_S)
    flood = [label(client, "anna", seed) for seed in range(3 * MAXIMUM_WAITING)]
    errors = [error for future in flood if (error := future.exception(PATIENCE_S)) is not None]
    stored = [future.result() for future in flood if future.exception() is None]
    assert len(stored) >= MAXIMUM_WAITING
    assert all("wait for an answer already" in str(error) for error in errors)
    versions = {result.head.version for result in stored if result.head is not None}
    assert len(versions) < len(stored) / 10


def test_two_clients_do_not_share_a_store(client: PeopleClient, tmp_path: Path) -> None:
    enroll(client, "anna").result(PATIENCE_S)
    second = PeopleClient(tmp_path / "people", BASE, NETWORK)
    with pytest.raises(MienError, match="is used by process"):
        second.list_people().result(PATIENCE_S)
    client.close()
    wait_for(lambda: second.list_people().exception(PATIENCE_S) is None)  # asked again, it opens the store
    second.close()


def wait_for(happens: Any) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < end_s


def test_a_process_that_died_is_said_and_started_again(client: PeopleClient) -> None:
    enroll(client, "anna").result(PATIENCE_S)
    process = process_of_the_people()
    os.kill(process, signal.SIGSTOP)
    waiting = client.list_people()
    os.kill(process, signal.SIGKILL)
    with pytest.raises(MienError, match=r"ended before it had answered.*SIGKILL.*ask again"):
        waiting.result(PATIENCE_S)
    assert [one.person_id for one in client.list_people().result(PATIENCE_S)] == ["anna"]
    assert client.problems().result(PATIENCE_S) == ("The process that keeps the people died 1 times",)


def test_a_process_that_had_lived_for_a_while_is_started_again_at_once(
    client: PeopleClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.personal.client._SHORT_LIFE_S", 0.0)
    enroll(client, "anna").result(PATIENCE_S)
    first = process_of_the_people()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: set(processes_of_the_people()) - {first})
    assert len(client.list_people().result(PATIENCE_S)) == 1


def test_the_process_ends_with_its_client_and_minds_no_interrupt(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal, pathlib; from tests.personal.small_people import BASE\n"
        "from mien.personal.client import PeopleClient\n"
        "client = PeopleClient(pathlib.Path(sys.argv[1]), BASE, 'network')\n"
        "client.heads().result(); import psutil\n"
        "child, = psutil.Process().children(); child.send_signal(signal.SIGINT); child.terminate()\n"
        "client.heads().result(); print(child.pid, child.nice(), flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "people")]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid, nice = map(int, done.stdout.split())
    assert nice > os.nice(0)
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    open_people(tmp_path / "people").close()
    assert done.stderr == ""


class Killer:
    """Kills the process at random moments while people come, are labelled and forgotten, and keeps what it had said."""

    IN_FLIGHT = 8
    OF_EACH = MAXIMUM_SAMPLES // 2
    """Labels of one person: of more than a store keeps, some would go."""

    def __init__(self, client: PeopleClient) -> None:
        self.client = client
        self.seeds = count()
        self.random = np.random.default_rng(1)
        self.labelled: dict[str, list[int]] = {}  # seeds of the acknowledged labels, by person
        self.heads: dict[str, StoredHead] = {}  # the last one that was acknowledged, by person
        self.asked: dict[Future[Labelled], tuple[str, int]] = {}
        self.guests: list[int] = []  # seeds of what the guest showed

    def live(self) -> None:
        """One life of the process: some labels, and then it dies at a random moment of more of them."""
        self.check()
        for _ in range(self.random.integers(0, 30)):
            self.go_on()
        # Not psutil's kill, which refuses where the clock was set since.
        kill = partial(os.kill, process_of_the_people(), signal.SIGKILL)
        timer = threading.Timer(self.random.uniform(0, 0.03), kill)
        timer.start()
        with pytest.raises(MienError, match="ended before it had answered"):
            self.go_on_for_ever()
        timer.join()
        for future in list(self.asked):  # of some, the answer came before the end
            with suppress(MienError):
                self.take(future)
        self.asked.clear()

    def go_on_for_ever(self) -> None:
        while True:
            self.go_on()

    def go_on(self) -> None:
        """Give a label, with others under way; every now and then a guest comes and is forgotten."""
        seed = next(self.seeds)
        if seed % 15 == 0:
            enroll(self.client, "guest").result(PATIENCE_S)
            self.guests.append(seed)
            label(self.client, "guest", seed).result(PATIENCE_S)
            self.client.forget("guest").result(PATIENCE_S)
            return
        person = f"person{len(self.labelled) - 1 - seed % 2}"  # two at a time
        if len(self.labelled.get(person, range(self.OF_EACH))) >= self.OF_EACH:
            person = f"person{len(self.labelled)}"
            enroll(self.client, person).result(PATIENCE_S)
            self.labelled[person] = []
        self.asked[label(self.client, person, seed)] = person, seed
        if len(self.asked) >= self.IN_FLIGHT:
            self.take(next(iter(self.asked)))

    def take(self, future: Future[Labelled]) -> None:
        """Wait for an answer, and remember what it says."""
        person, seed = self.asked.pop(future)
        head = future.result(PATIENCE_S).head
        self.labelled[person].append(seed)
        if head is not None:
            self.heads[person] = head

    def check(self) -> None:
        """Whatever was acknowledged is there."""
        people = {one.person_id: one for one in self.client.list_people().result(PATIENCE_S)}
        heads = {one.owner_id: one for one in self.client.heads().result(PATIENCE_S)}
        for person, seeds in self.labelled.items():
            assert len(seeds) <= people[person].samples
        for person, head in self.heads.items():
            assert head == heads[person] or head.version < heads[person].version
            assert head.version in people[person].versions


@pytest.mark.timeout(15 * KILLS)
def test_killed_at_any_moment_it_loses_nothing_that_it_had_said(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    client = PeopleClient(folder, BASE, NETWORK, "identity-one")
    killer = Killer(client)
    for _ in range(KILLS):
        killer.live()
    killer.check()
    assert client.problems().result(PATIENCE_S) == (f"The process that keeps the people died {KILLS} times",)
    if any(one.person_id == "guest" for one in client.list_people().result(PATIENCE_S)):
        client.forget("guest").result(PATIENCE_S)
    people = client.list_people().result(PATIENCE_S)
    assert {one.person_id for one in people} >= set(killer.labelled)
    lost = 0
    for person, seeds in killer.labelled.items():
        archive = client.export(person).result(PATIENCE_S).read_bytes()
        lost += sum(embedding(seed).tobytes() not in archive for seed in seeds)
    client.close()
    acknowledged, stored = sum(map(len, killer.labelled.values())), sum(one.samples for one in people)
    versions = sum(head.version for head in killer.heads.values())
    print(f"{KILLS} kills: {acknowledged} labels acknowledged, {lost} lost, {stored} stored, {versions} heads")
    assert lost == 0
    assert stored <= acknowledged + KILLS * killer.IN_FLIGHT  # at most those in flight more
    assert traces(folder, patterns_of("guest", killer.guests, [])) == {}
