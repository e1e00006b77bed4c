"""Services about people, offered as long as the node lives; each answers through the process that keeps the store."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from builtin_interfaces.msg import Time
from mien_msgs.msg import Person as PersonMessage
from mien_msgs.msg import SampleLabel, SubjectSatisfaction
from mien_msgs.srv import Enroll, ExportPerson, ForgetPerson, LabelSample, ListPeople, RollbackHead
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.interactions import PersonSatisfaction
from mien.faces.detector import Image
from mien.nodes.clock import ImageClock
from mien.nodes.personal import Personal
from mien.nodes.waiting import result_of
from mien.personal.messages import Person
from mien.personal.samples import Label, Source
from mien.pipeline import FaceAffect, Pipeline


class PersonalServices:
    """Services enroll, label_sample, list_people, forget_person, export_person and rollback_head.

    They stay also while the node is not configured: one that went while a request waits could not answer it any more.

    Args:
        node: offers them.

    Attributes:
        group: of the callbacks that may wait.
    """

    def __init__(self, node: Node) -> None:
        self._personal: Personal | None = None
        self._problem: MienError | None = None
        self._node = node
        self.group = ReentrantCallbackGroup()  # a request that waits must not keep images and others waiting
        self._offer(Enroll, "enroll", self._enroll)
        self._offer(LabelSample, "label_sample", self._label)
        self._offer(ListPeople, "list_people", self._list)
        self._offer(ForgetPerson, "forget_person", self._forget)
        self._offer(ExportPerson, "export_person", self._export)
        self._offer(RollbackHead, "rollback_head", self._rollback)

    def open(
        self,
        values: Mapping[str, Any],
        bundle: Bundle,
        pipeline: Pipeline,
        clock: ImageClock,
        requests: Publisher,
        forget_windows: Callable[[str], None],
    ) -> None:
        """Open the store of people, where the parameters name one; faces are read also without. As `Personal`."""
        if not values["people_folder"]:
            return
        try:
            self._personal = Personal(self._node, bundle, pipeline, values, clock, requests, forget_windows)
        except MienError as error:
            self._problem = error
            self._node.get_logger().warning(f"People: {error}")

    def close(self) -> None:
        """Close the store."""
        if self._personal is not None:
            self._personal.close()
        self._personal, self._problem = None, None

    def people(self) -> Personal:
        """Who answers.

        Raises:
            MienError: nobody does.
        """
        if self._problem is not None:
            raise self._problem
        if self._personal is None:
            raise MienError(
                "Personalisation is off, or the node is not configured",
                "Start the node with the parameter people_folder, the folder that is to hold what it learns of people",
            )
        return self._personal

    def see(self, faces: Sequence[FaceAffect], time_s: float) -> None:
        """`Personal.see`, where there is one; so are the following."""
        if self._personal is not None:
            self._personal.see(faces, time_s)

    def offer(self, camera: str, header: Header, image: Image, faces: Sequence[FaceAffect]) -> None:
        """`Personal.offer`."""
        if self._personal is not None:
            self._personal.offer(camera, header, image, faces)

    def remember(self, person: PersonSatisfaction) -> None:
        """`Personal.remember`."""
        if self._personal is not None:
            self._personal.remember(person)

    def set_place(self, place: str) -> None:
        """`Personal.set_place`."""
        if self._personal is not None:
            self._personal.set_place(place)

    def look_after(self) -> None:
        """`Personal.look_after`."""
        if self._personal is not None:
            self._personal.look_after()

    def status(self) -> tuple[str | None, Mapping[str, object]] | None:
        """For /diagnostics: what is wrong, or None, and facts; None where personalisation is off."""
        if self._problem is not None:
            return str(self._problem), {}
        return None if self._personal is None else self._personal.status()

    def _offer(self, kind: Any, name: str, answer: Callable[[Any, Any], Awaitable[None]]) -> None:
        async def serve(request: Any, response: Any) -> Any:
            try:
                await answer(request, response)
                response.success = True
            except MienError as error:
                response.message = str(error)
            except Exception as error:  # noqa: BLE001  one request that fails must not end the node
                # No more than that: what was asked may name people.
                self._node.get_logger().error(f"Service {name} failed: {type(error).__name__}")
                response.message = f"The service failed ({type(error).__name__}). Report it"
            return response

        self._node.create_service(kind, name, serve, callback_group=self.group)

    async def _enroll(self, request: Enroll.Request, response: Enroll.Response) -> None:
        people = self.people()
        asked = people.enroll(
            request.kind,
            request.person_id,
            request.display_name,
            request.consent,
            request.consent_statement,
            request.groups,
            request.face_id,
        )
        person = await result_of(self._node, asked)
        response.person_id = person.person_id
        response.message = people.enrolment_note(person, request.face_id)

    async def _label(self, request: LabelSample.Request, response: LabelSample.Response) -> None:
        asked = self.people().label(request.sample_id, request.face_id, request.person_id, _label(request.label))
        labelled = await result_of(self._node, asked)
        response.sample_id, response.samples, response.message = labelled.sample_id, labelled.samples, labelled.message

    async def _list(self, request: ListPeople.Request, response: ListPeople.Response) -> None:
        del request
        response.people = [_person(one) for one in await result_of(self._node, self.people().list_people())]

    async def _forget(self, request: ForgetPerson.Request, response: ForgetPerson.Response) -> None:
        forgotten = await result_of(self._node, self.people().forget(request.person_id))
        response.samples_removed, response.heads_removed = forgotten.samples, forgotten.heads

    async def _export(self, request: ExportPerson.Request, response: ExportPerson.Response) -> None:
        path = await result_of(self._node, self.people().export(request.person_id))
        response.path = str(path)

    async def _rollback(self, request: RollbackHead.Request, response: RollbackHead.Response) -> None:
        head = await result_of(self._node, self.people().rollback(request.person_id, request.version))
        response.version = head.version


def _label(message: SampleLabel) -> Label:
    if message.source not in tuple(Source):
        raise MienError(f"There is no source {message.source}", "Give 0 for self, 1 for observer, 2 for stimulus")
    valence, arousal = math.nan, math.nan
    if message.has_valence_arousal:
        valence, arousal = message.valence, message.arousal
        if not (-1 <= valence <= 1 and -1 <= arousal <= 1):
            raise MienError(f"valence and arousal are {valence:g} and {arousal:g}", "Give values from -1 to 1")
    return Label(message.expression, valence, arousal, Source(message.source), message.annotator)


def _person(person: Person) -> PersonMessage:
    return PersonMessage(
        person_id=person.person_id,
        kind=int(person.kind),
        display_name=person.display_name,
        consent=person.consent,
        consent_time=_time(person.consent_time_s),
        samples=person.samples,
        head_version=person.head_version,
        groups=list(person.groups),
        head_versions=list(person.versions),
        identities=person.identities,
        foreign_samples=person.foreign_samples,
        foreign_heads=person.foreign_heads,
        satisfaction=[
            SubjectSatisfaction(
                subject=one.subject,
                interactions=one.interactions,
                mean_score=one.mean_score,
                last_score=one.last_score,
                last_time=_time(one.last_stamp_s),
            )
            for one in person.satisfaction
        ],
    )


def _time(seconds: float) -> Time:
    whole = math.floor(seconds)
    return Time(sec=whole, nanosec=min(round((seconds - whole) * 1e9), 999_999_999))
