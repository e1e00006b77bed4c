"""What the perception node knows of its people: their heads, whose the faces are, moments to label, and questions.

Nothing here waits: the store and all learning are in a process of their own (`PeopleClient`), whose answers change what
is known in the client's thread; looks at faces and questions are a matter of a thread beside the camera path. Neither
names nor ids of people are ever logged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.interactions import PersonSatisfaction
from mien.expression.recogniser import HeadsInUse
from mien.faces.detector import Image
from mien.nodes.beside import Beside
from mien.nodes.clock import ImageClock
from mien.nodes.personal_faces import FacePersons
from mien.nodes.personal_questions import LabelRequests
from mien.nodes.problems import ToldProblems
from mien.personal.client import PeopleClient
from mien.personal.lookup import HeadLookup
from mien.personal.messages import Forgotten, Identity, Kind, Labelled, Outcome, Person, Progress, StoredHead
from mien.personal.model import base_head, embedding_id
from mien.personal.moments import Moment, Moments, moment_of
from mien.personal.samples import Label
from mien.pipeline import FaceAffect, Pipeline

T = TypeVar("T")
LOOK_AFTER_EVERY_S = 5.0


class Personal:
    """Of a configured node. Methods may be called from any thread; those that return a Future never wait.

    Args:
        node: logs, and has the topics.
        bundle: the models.
        pipeline: is given the heads.
        values: the node's parameters by name; `people_folder` is not empty.
        clock: of the images.
        requests: publisher of label_requests.
        forget_windows: drops what is known of a person's satisfaction.

    Raises:
        MienError: the folder or a parameter cannot be used.
    """

    def __init__(
        self,
        node: Node,
        bundle: Bundle,
        pipeline: Pipeline,
        values: Mapping[str, Any],
        clock: ImageClock,
        requests: Publisher,
        forget_windows: Callable[[str], None],
    ) -> None:
        base = base_head(bundle)
        self._node, self._clock, self._forget_windows = node, clock, forget_windows
        self._moments = Moments()
        self._requests = LabelRequests(node, requests, base.labels, self._moments, values["questions_per_hour"])

        def hand_over(heads: HeadsInUse) -> None:
            pipeline.heads = heads

        self._lookup = HeadLookup(base, hand_over)
        self._lookup.set_place(values["place"])
        folder = _folder(values["people_folder"])
        self._faces = FacePersons(
            node, bundle, pipeline.settings.backend, values["identity"], self._lookup, self._moments
        )
        try:
            self._client = PeopleClient(folder, base, embedding_id(bundle), self._faces.network_id, values["learner"])
        except MienError:
            self._faces.close()
            raise
        self._problems: tuple[str, ...] = ()
        self._told = ToldProblems()
        self._complete = False  # all that is stored is known here
        self._looked_after_s = -math.inf
        self._asked: Future[tuple[str, ...]] | None = None  # how the store is; one question at a time
        self._learned: dict[str, object] = {}
        self._beside = Beside(node, "people", self._handle)
        self.look_after()

    # What the camera shows

    def see(self, faces: Sequence[FaceAffect], time_s: float) -> None:
        """Take note of the faces of one image."""
        self._moments.see(faces, time_s, time.time())

    def offer(self, camera: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        """Hand over a result to the thread that recognises people and asks for labels."""
        self._beside.offer(camera, header, image, faces)

    def _handle(self, _: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        now_s = self._clock.now_s()
        self._faces.look(image, faces, now_s)
        for face in faces:
            if self._lookup.is_enrolled(face.person_id):  # not one who was forgotten since the image was read
                self._requests.consider(header, face, moment_of(face, now_s, time.time()))

    # What people ask for

    def enroll(
        self,
        kind: int,
        person_id: str,
        display_name: str,
        consent: bool,
        consent_statement: str,
        groups: Sequence[str],
        face_id: str,
    ) -> Future[Person]:
        """`PeopleClient.enroll` with the looks at a face, which is that person's from then on.

        Raises:
            MienError: the face is not in view.
        """
        if kind not in tuple(Kind):
            raise MienError(f"There is no kind {kind}", "Give 0 for a person, 1 for a group, 2 for a place")
        if face_id:
            self._moments.find(face_id, "", self._clock.now_s())
        looks = self._faces.looks(face_id)
        asked = self._client.enroll(Kind(kind), person_id, display_name, consent, consent_statement, groups, looks)
        return self._then(asked, lambda person: self._enrolled(person, face_id))

    def enrolment_note(self, person: Person, face_id: str) -> str:
        """What should be known of an enrolment that succeeded; empty when all is well."""
        return self._faces.note(person, face_id)

    def label(self, sample_id: str, face_id: str, person_id: str, label: Label) -> Future[Labelled]:
        """`PeopleClient.add_label` of a moment, or `relabel` where it is stored alone or the label says nothing.

        Args:
            sample_id: of the moment; or empty: as for `Moments.find`.
            face_id: as there.
            person_id: as there.
            label: what is said of it.

        Raises:
            MienError: there is no such moment, or it is nobody's.
        """
        now_s = self._clock.now_s()
        moment = self._moments.kept(sample_id, now_s) if sample_id else self._moments.find(face_id, person_id, now_s)
        if moment is None or (sample_id and label.is_empty):
            return self._then(self._client.relabel(sample_id, label), self._learned_at_once)
        whose = moment.person_id or self._lookup.person_of(moment.face_id)
        if not whose:
            raise MienError(f"Face {moment.face_id} is nobody known", "Enroll the person first, who must consent")
        moment = replace(moment, person_id=whose)
        place = self._lookup.place
        asked = self._client.add_label(whose, place, moment.sample_id, moment.stamp_s, moment.embedding, label)
        return self._then(asked, lambda labelled: self._labelled(moment, labelled, is_asked=bool(sample_id)))

    def personalise(
        self, person_id: str, learner: str, max_steps: int, tell: Callable[[Progress], None], run_id: str
    ) -> Future[Outcome]:
        """`PeopleClient.personalise`."""
        return self._then(self._client.personalise(person_id, learner, max_steps, tell, run_id), self._personalised)

    def cancel(self, run_id: str) -> Future[None]:
        """`PeopleClient.cancel`."""
        return self._client.cancel(run_id)

    def rollback(self, person_id: str, version: int) -> Future[StoredHead]:
        """`PeopleClient.rollback`."""
        return self._then(self._client.rollback(person_id, version), self._lookup.put_head)

    def forget(self, person_id: str) -> Future[Forgotten]:
        """`PeopleClient.forget`; what is in memory goes in any case."""
        asked = self._client.forget(person_id)
        asked.add_done_callback(lambda _: self._forget_here(person_id))
        return self._then(asked, self._forgotten)

    def export(self, person_id: str) -> Future[Path]:
        """`PeopleClient.export`."""
        return self._client.export(person_id)

    def list_people(self) -> Future[tuple[Person, ...]]:
        """`PeopleClient.list_people`."""
        return self._client.list_people()

    def remember(self, person: PersonSatisfaction) -> None:
        """Keep how satisfied an enrolled person was in one interaction."""
        state = person.state
        asked = self._client.remember_satisfaction(
            person.person_id, person.subject, state.score, state.confidence, state.observed_s, time.time()
        )

        def tell(answer: Future[Person]) -> None:
            if answer.exception() is not None:
                self._node.get_logger().warning("How satisfied a person was could not be stored")

        asked.add_done_callback(tell)

    def set_place(self, place: str) -> None:
        """Where the robot is: the id of an enrolled place, or empty."""
        self._lookup.set_place(place)

    # What has become known

    def _then(self, asked: Future[T], act: Callable[[T], object]) -> Future[T]:
        """Let an answer change what is known before anybody who waits for it goes on."""

        def take(answer: Future[T]) -> None:
            if answer.exception() is None:
                try:
                    act(answer.result())
                except MienError as error:
                    self._problems = (str(error),)
                    self._complete = False

        asked.add_done_callback(take)
        return asked

    def _enrolled(self, person: Person, face_id: str) -> None:
        self._lookup.put_person(person)
        self._faces.enrolled(person, face_id)
        self._then(self._client.identities(), self._faces.replace_all)

    def _labelled(self, moment: Moment, labelled: Labelled, is_asked: bool) -> None:
        self._moments.keep(moment)
        if not is_asked:
            self._requests.remember(moment)
        self._learned_at_once(labelled)

    def _learned_at_once(self, labelled: Labelled) -> None:
        if labelled.head is not None:
            self._lookup.put_head(labelled.head)
        accepted = labelled.head is not None and labelled.head.version > 0
        self._learned = {"last_learning_samples": labelled.samples, "last_learning_accepted": accepted}

    def _personalised(self, outcome: Outcome) -> None:
        self._lookup.put_head(outcome.head)
        self._learned = {"last_learning_samples": outcome.samples, "last_learning_accepted": outcome.success}

    def _forget_here(self, person_id: str) -> None:
        self._faces.forget(person_id)
        self._lookup.forget(person_id)
        self._moments.forget(person_id)
        self._requests.forget(person_id)
        self._forget_windows(person_id)
        self._complete = False  # it may have failed: what is still stored counts

    def _forgotten(self, forgotten: Forgotten) -> None:
        for head in forgotten.heads_in_use:
            self._lookup.put_head(head)

    def _reload(self) -> None:
        """Learn all that is stored; answers come in the order of the questions."""
        people, identities = self._client.list_people(), self._client.identities()

        def take(heads: Sequence[StoredHead]) -> None:
            self._take_all(people.result(), identities.result(), heads)

        self._then(self._client.heads(), take)

    def _take_all(self, people: Sequence[Person], identities: Sequence[Identity], heads: Sequence[StoredHead]) -> None:
        self._lookup.replace_all(people, heads)
        self._faces.replace_all(identities)
        self._complete = True

    # How it is

    def look_after(self) -> None:
        """Every now and then: ask how the store is, and drop the faces that are gone. Called every second."""
        if time.monotonic() - self._looked_after_s < LOOK_AFTER_EVERY_S:
            return
        self._looked_after_s = time.monotonic()
        self._faces.drop_gone(self._clock.now_s())
        if self._asked is not None and not self._asked.done():
            self._tell(("The process that keeps the people does not answer. Is it busy, or the disk slow?",))
            return
        self._asked = self._client.problems()
        self._asked.add_done_callback(self._take_problems)

    def _take_problems(self, answer: Future[tuple[str, ...]]) -> None:
        error = answer.exception()
        self._tell(answer.result() if error is None else (str(error),))
        if error is not None:
            self._complete = False
        elif not self._complete:
            self._reload()

    def _tell(self, problems: tuple[str, ...]) -> None:
        """Report problems, and log those that are new."""
        for problem in self._told.new(problems):
            self._node.get_logger().warning(f"People: {problem}")
        self._problems = problems

    def status(self) -> tuple[str | None, dict[str, object]]:
        """What is wrong, with the remedy, or None; and facts for people to read."""
        enrolled, heads = self._lookup.counts
        values = {"enrolled": enrolled, "heads_in_use": heads, "recognition": self._faces.recognition}
        values |= {"questions_asked": self._requests.asked, "place": self._lookup.place, **self._learned}
        problems = list(self._problems)
        if self._faces.problem:
            problems.append(self._faces.problem)
        if self._complete and self._lookup.place and not self._lookup.is_enrolled(self._lookup.place):
            problems.append(
                "Parameter place names no place that is enrolled. Enroll it (kind place), or leave it empty"
            )
        return "; ".join(problems) or None, values

    def close(self) -> None:
        """Let the process finish what it was asked, and free everything."""
        self._beside.close()
        self._client.close()
        self._faces.close()


def _folder(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # the ~ of somebody whom this machine does not know
        raise MienError(f"people_folder cannot be {path!r} ({error})", "Give another folder") from error
