"""Configure, activate, deactivate, cleanup, shutdown: what each makes and frees; names in a namespace, with remaps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.ros.driver import Driver, perception
from tests.ros.harness import wait_for
from tests.ros.pictures import demo_frame

CAMERA = "/front/image_raw"


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int) -> Iterator[Driver]:
    """A node that waits to be configured; the tests run in order and leave it unconfigured."""
    with perception(
        tmp_path_factory.mktemp("lifecycle"),
        ros_domain_id,
        parameters={"autostart": False},
        namespace="torso",
        remaps={"image_raw": CAMERA},
        wait_for_state="unconfigured",
    ) as driver:
        yield driver


def topics(robot: Driver) -> set[str]:
    """What the node itself publishes; its services and action about people stay also when it is not configured."""
    names = robot.node.get_publisher_names_and_types_by_node("perception", "/torso")
    own = {name for name, _ in names if name.startswith("/torso/")}
    return {name for name in own if "transition" not in name and "/_action/" not in name}


def subscribers(robot: Driver) -> int:
    return robot.node.count_subscribers(CAMERA)


def threads(robot: Driver) -> int:
    return psutil.Process(robot.process.pid).num_threads()


def own_memory_mb(robot: Driver) -> float:
    memory = psutil.Process(robot.process.pid).memory_info()
    return (memory.rss - memory.shared) / 1e6


def start(robot: Driver) -> None:
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    robot.disconnect(CAMERA) if robot.node.count_publishers(CAMERA) else None
    robot.connect(CAMERA)


def test_without_autostart_the_node_waits(robot: Driver) -> None:
    assert robot.state == "unconfigured"
    assert topics(robot) == set()
    assert robot.diagnostics()["model"][1] == "not configured"
    assert not robot.change_state("activate")
    assert robot.state == "unconfigured"


def test_what_configuring_and_activating_make_is_freed_again(robot: Driver) -> None:
    assert robot.change_state("configure")
    assert robot.state == "inactive"
    names = ("emotions", "satisfaction", "label_requests", "image_annotated")
    wait_for(lambda: topics(robot) == {f"/torso/{name}" for name in names}, 10, "topics")
    assert subscribers(robot) == 0
    assert robot.change_state("activate")
    answer = robot.read(demo_frame(), CAMERA)
    assert (answer.camera, len(answer.faces)) == (CAMERA, 1)
    assert set(robot.diagnostics()) == {"frames", "model", f"camera {CAMERA}"}
    assert robot.change_state("deactivate")
    wait_for(lambda: subscribers(robot) == 0, 10, "the subscription to go")
    robot.emotions.clear()
    robot.send(robot.message(demo_frame()), CAMERA)
    report = robot.diagnostics()
    assert report[f"camera {CAMERA}"][1] == "not subscribed: the node is not active"
    assert robot.emotions.messages == []
    assert robot.change_state("cleanup")
    wait_for(lambda: topics(robot) == set(), 10, "the topics to go")
    assert robot.diagnostics()["model"][1] == "not configured"


def test_a_node_started_again_and_again_does_not_grow(robot: Driver) -> None:
    sizes_mb, at_work, at_rest = [], set(), set()
    for _ in range(6):
        start(robot)
        ids = {robot.read(demo_frame(), CAMERA).faces[0].face_id for _ in range(3)}
        assert len(ids) == 1
        at_work.add(threads(robot))
        assert robot.change_state("deactivate")
        assert robot.change_state("activate")
        robot.wait_until_connected(CAMERA)
        assert robot.read(demo_frame(), CAMERA).faces
        assert robot.change_state("deactivate")
        assert robot.change_state("cleanup")
        sizes_mb.append(own_memory_mb(robot))
        at_rest.add(threads(robot))
    # The models of one configuration take more than 10 MB.
    assert min(sizes_mb[3:]) < max(sizes_mb[:3]) + 10, sizes_mb
    assert len(at_rest) == 1, at_rest
    assert max(at_rest) < min(at_work)


def test_parameters_that_are_not_live_can_change_between_two_configurations(robot: Driver) -> None:
    assert robot.set_parameters(image_topics=["/elsewhere/image_raw"], detector_width=640).successful
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    try:
        assert robot.read(demo_frame(), "/elsewhere/image_raw").camera == "/elsewhere/image_raw"
        assert set(robot.diagnostics()) == {"frames", "model", "camera /elsewhere/image_raw"}
        assert not robot.set_parameters(image_topics=["image_raw"]).successful
    finally:
        assert robot.change_state("deactivate")
        assert robot.change_state("cleanup")
        assert robot.set_parameters(image_topics=["image_raw"], detector_width=0).successful


def test_shutdown_from_work_ends_the_node_but_not_its_process(robot: Driver) -> None:
    start(robot)
    before = robot.read(demo_frame(), CAMERA)
    assert before.faces
    assert robot.change_state("active_shutdown")
    assert robot.state == "finalized"
    wait_for(lambda: subscribers(robot) == 0 and topics(robot) == set(), 10, "everything to go")
    assert robot.process.is_running()
    assert robot.process.stop() == 0


def test_face_ids_of_two_runs_differ(robot: Driver, tmp_path: Path, ros_domain_id: int) -> None:
    earlier = {face.face_id for answer in robot.emotions.messages for face in answer.faces}
    with perception(tmp_path, ros_domain_id) as other:
        (face,) = other.read(demo_frame()).faces
    assert earlier
    assert face.face_id not in earlier
    assert face.face_id.rstrip("0123456789") not in {face_id.rstrip("0123456789") for face_id in earlier}
