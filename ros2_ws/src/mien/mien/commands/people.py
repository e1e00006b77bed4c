"""`mien people`: the people a running perception node knows; a client of its services."""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
import msgspec
from rich.console import Console
from rich.progress import Progress

from mien.errors import MienError
from mien.personal.stimulus import StimulusLabel, read_stimulus

if TYPE_CHECKING:
    from mien.nodes.people_client import RobotPeople

app = cyclopts.App(name="people", help="Teach a running perception node its people; a client of its services.")

_Flag = cyclopts.Parameter(negative="")
Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]
_PAPERS_INTERVAL_S = 4.0
_LATEST_S = 2.0
_KINDS = ("person", "group", "place")


@app.command(name="list")
def list_people(*, namespace: str = "", as_json: Json = False) -> None:
    """Show everyone the robot knows.

    Args:
        namespace: Of the perception node.
        as_json: Print JSON.
    """
    with _robot(namespace) as robot:
        people = robot.list_people()
    if as_json:
        _print_json(people)
        return
    for one in people:
        # No table: an id is wanted whole by the other commands, also where the terminal is narrow.
        print(one["person_id"], _KINDS[one["kind"]], one["display_name"])
        print("    " + "; ".join(_facts(one)))
    if not people:
        print("Nobody is enrolled")


@app.command
def enroll(
    name: str = "",
    /,
    *,
    consent: str = "",
    person: str = "",
    face: str = "",
    no_face: Annotated[bool, _Flag] = False,
    group: Annotated[tuple[str, ...], cyclopts.Parameter(negative="")] = (),
    kind: Literal["person", "group", "place"] = "person",
    namespace: str = "",
    as_json: Json = False,
) -> None:
    """Make a person, group or place known. A person must consent, after being told what is stored.

    Given again with the same id, it changes what is known, and adds looks at the face.

    Args:
        name: To be shown; may be empty.
        consent: What the person agreed to, as said or signed; it is stored.
        person: Id; without it a new one is made.
        face: Id of the person's face in view, from the topic emotions; without it the only face in view.
        no_face: The person is recognised by another node (REP-155).
        group: A group or place the person belongs to; may be given several times, the first goes first.
        kind: What is enrolled.
        namespace: Of the perception node.
        as_json: Print JSON.
    """
    with _robot(namespace) as robot:
        if kind == "person" and not face and not no_face:
            face = _only_face(robot)
        told = robot.enroll(kind, person, name, consent, list(group), face)
    _tell(told, as_json, f"{told['person_id']} is enrolled")


@app.command
def label(
    expression: str = "",
    /,
    *,
    person: str = "",
    face: str = "",
    sample: str = "",
    valence: float | None = None,
    arousal: float | None = None,
    source: Literal["self", "observer", "stimulus"] = "observer",
    annotator: str = "",
    take_back: Annotated[bool, _Flag] = False,
    namespace: str = "",
    as_json: Json = False,
) -> None:
    """Label what a person or face shows now, or a moment that the robot asked about; it is learned at once.

    A label of the same moment by the same source and annotator takes the place of the last one, at any time.

    Args:
        expression: A class that the model knows; may be left out where valence and arousal are given.
        person: Whose present moment; without person, face and sample that of the only face in view.
        face: Whose present moment.
        sample: Moment that `mien people watch` showed, or that was labelled.
        valence: -1 (unpleasant) to 1 (pleasant), together with arousal.
        arousal: -1 (calm) to 1 (excited).
        source: Who says so: the person (self), somebody watching, or what was shown.
        annotator: Who watched, an id to tell several apart: their labels of one moment are averaged.
        take_back: Take back the label of the moment --sample by this source and annotator.
        namespace: Of the perception node.
        as_json: Print JSON.
    """
    if (valence is None) != (arousal is None):
        raise MienError("Only one of valence and arousal is given", "Give both, or an expression")
    if take_back == bool(expression or valence is not None) or (take_back and not sample):
        raise MienError(
            "It is not clear what to label with" if not take_back else "It is not clear what to take back",
            "Give an expression, or valence and arousal; or --take-back with --sample and none of these",
        )
    affect = None if valence is None or arousal is None else (valence, arousal)
    with _robot(namespace) as robot:
        if not (person or face or sample):
            face = _only_face(robot)
        ids = {"sample_id": sample, "face_id": face, "person_id": person}
        told = robot.label(ids, expression, affect, source, annotator)
    done = "has lost the label" if take_back else "is stored"
    _tell(told, as_json, f"{told['sample_id']} {done}, labelled moments: {told['samples']}")


@app.command
def forget(person: str, /, *, namespace: str = "", as_json: Json = False) -> None:
    """Remove every trace of a person, group or place. There is no way back.

    Args:
        person: Id.
        namespace: Of the perception node.
        as_json: Print JSON.
    """
    with _robot(namespace) as robot:
        told = robot.forget(person)
    _tell(told, as_json, f"Forgotten: {told['samples_removed']} labelled moments, {told['heads_removed']} heads")


@app.command(name="export")
def export_person(person: str, /, *, namespace: str = "", as_json: Json = False) -> None:
    """Write all that is stored about a person to a file on the robot.

    Args:
        person: Id.
        namespace: Of the perception node.
        as_json: Print JSON.
    """
    with _robot(namespace) as robot:
        told = robot.export(person)
    _tell(told, as_json, told["path"])


@app.command
def rollback(person: str, version: int, /, *, namespace: str = "", as_json: Json = False) -> None:
    """Use an earlier (or later) version of a person's head; 0 is the bundle's own.

    Args:
        person: Id.
        version: As `mien people list` shows.
        namespace: Of the perception node.
        as_json: Print JSON.
    """
    if not 0 <= version < 1 << 32:
        raise MienError(f"There is no version {version}", "Give one that mien people list shows, or 0")
    with _robot(namespace) as robot:
        told = robot.rollback(person, version)
    _tell(told, as_json, f"Version {told['version']} is in use")


@app.command
def personalize(
    person: str, /, *, learner: str = "", steps: int = 0, namespace: str = "", as_json: Json = False
) -> None:
    """Learn a person's (or group's or place's) head afresh from all labels; Ctrl+C cancels.

    The new head replaces the old one only if it is no worse on held-out moments.

    Args:
        person: Id.
        learner: What learns; without it the node's own.
        steps: At most so many; 0 leaves it to the learner.
        namespace: Of the perception node.
        as_json: Print JSON.
    """
    if not 0 <= steps < 1 << 32:
        raise MienError(f"--steps cannot be {steps}", "Give 1 or more, or 0")
    with _robot(namespace) as robot, Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("learning")

        def tell(feedback: dict[str, Any]) -> None:
            text = f"loss {feedback['loss']:.4f}, held out {feedback['held_out_score']:.3f}"
            progress.update(task, total=feedback["steps"], completed=feedback["step"], description=text)

        told = robot.personalize(person, learner, steps, tell)
    line = f"Version {told['head_version']} is in use; {told['samples']} moments"
    if not math.isnan(told["score_after"]):
        line += f", held-out score {told['score_before']:.3f} → {told['score_after']:.3f}"
    _tell(told, as_json, line)
    if not told["success"]:
        sys.exit(1)


@app.command
def stimulus(
    file: Path,
    /,
    *,
    person: str,
    every_s: float = _PAPERS_INTERVAL_S,
    namespace: str = "",
    as_json: Json = False,
) -> None:
    """Label a person's moments by what is being shown, at the times that a file says, beginning now.

    Args:
        file: A .csv or .json with time_s, and expression or valence and arousal or both.
        person: Who watches.
        every_s: At most one label in so many seconds (paper 002: 4); 0 takes all.
        namespace: Of the perception node.
        as_json: Print one JSON line per label.
    """
    labels = read_stimulus(file, every_s)
    stored = 0
    with _robot(namespace) as robot:
        robot.list_people()  # a node that is not there is better found out before the film begins
        started_s = time.monotonic()
        for one in labels:
            time.sleep(max(0.0, started_s + one.time_s - time.monotonic()))
            late_s = time.monotonic() - started_s - one.time_s  # something else is shown by now
            problem = f"{late_s:.1f} s late: not given" if late_s > _LATEST_S else _label_now(robot, person, one)
            stored += not problem
            if as_json:
                print(msgspec.json.encode({"time_s": one.time_s, "problem": problem}).decode(), flush=True)
            else:
                print(f"{one.time_s:8.1f} s  {problem or 'stored'}", flush=True)
    if not stored:
        raise MienError("No label could be stored", "See above; the person must be enrolled and in view")


@app.command
def watch(*, namespace: str = "", as_json: Json = False) -> None:
    """Show the moments that the robot asks about, as it asks; Ctrl+C ends it.

    Args:
        namespace: Of the perception node.
        as_json: Print one JSON line per request.
    """
    with _robot(namespace) as robot:
        robot.list_people()  # a node that is not there, or learns nobody, would never ask
        for request in robot.requests():
            if as_json:
                print(msgspec.json.encode(request).decode(), flush=True)
                continue
            believed = max(zip(request["probabilities"], request["labels"], strict=True), default=(math.nan, "–"))
            print(
                f"{request['sample_id']}  {request['person_id']}  {believed[1]} {believed[0]:.2f}: {request['reason']}"
            )


def _robot(namespace: str) -> RobotPeople:
    """The node's people; ROS is needed only here."""
    for module in ("rclpy", "mien_msgs"):
        if importlib.util.find_spec(module) is None:
            raise MienError(f"The Python module {module} is missing", "Source ROS 2 and the workspace")
    from mien.nodes.people_client import RobotPeople

    return RobotPeople(namespace)


def _facts(one: dict[str, Any]) -> Iterator[str]:
    """What is known of a person, group or place, for people to read."""
    if one["consent"]:
        yield f"consent of {datetime.fromtimestamp(one['consent_time']['sec'], timezone.utc).date()}"
    yield f"labelled moments {one['samples']}"
    yield f"head {one['head_version'] or '–'} of versions {' '.join(map(str, one['head_versions'])) or '–'}"
    if one["foreign_samples"] or one["foreign_heads"]:
        yield f"of another model {one['foreign_samples']} moments, {one['foreign_heads']} heads"
    if one["groups"]:
        yield f"groups {' '.join(one['groups'])}"
    for two in one["satisfaction"]:
        yield f"satisfaction {two['subject'] or 'present'} {two['mean_score']:+.2f}"


def _only_face(robot: RobotPeople) -> str:
    faces = robot.faces_in_view()
    if len(faces) != 1:
        raise MienError(f"{len(faces)} faces are in view: {' '.join(faces) or 'none'}", "Say which one with --face")
    return faces[0]


def _label_now(robot: RobotPeople, person: str, one: StimulusLabel) -> str:
    """Label what the person shows; returns why it could not be, or nothing."""
    affect = None if math.isnan(one.valence) else (one.valence, one.arousal)
    try:
        robot.label({"person_id": person}, one.expression, affect, "stimulus")
    except MienError as error:
        return str(error)
    return ""


def _tell(told: dict[str, Any], as_json: bool, line: str) -> None:
    if as_json:
        _print_json(told)
    else:
        print(". ".join(filter(None, (line, told.get("message", "")))))


def _print_json(data: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())
