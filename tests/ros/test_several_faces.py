"""Two, five and eight real faces through the node; ids outlive an occlusion of a second and are not reused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from mien_msgs.msg import FaceAffectArray

from mien.faces.detector import Image
from tests.ros.driver import FRAME_PERIOD_NS, Driver, perception
from tests.ros.pictures import face_clip, paste

SIZE, SIDE = (1280, 720), 240
PLACES = [(20 + 320 * column, 60 + 340 * row) for row in range(2) for column in range(4)]
STARTS = (0, 250, 300, 340, 380, 30, 410, 270)
SECOND = 10**9 // FRAME_PERIOD_NS  # frames


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int) -> Iterator[Driver]:
    """A node with default parameters."""
    with perception(tmp_path_factory.mktemp("several_faces"), ros_domain_id) as driver:
        yield driver


@pytest.fixture(autouse=True)
def empty_stage(robot: Driver) -> None:
    """The faces of earlier tests have been gone for so long that they are forgotten."""
    for _ in range(2):
        robot.let_pass(5)
        answer = robot.read(picture(()))
    assert answer.faces == []
    robot.let_pass(5)


def picture(visible: tuple[int, ...] | range, frame: int = 0) -> Image:
    """Some of the eight faces, each at its own place, in one of 50 successive frames of real video."""
    faces = [face_clip(STARTS[i], 2 * SECOND, SIDE)[frame % (2 * SECOND)] for i in visible]
    return paste(SIZE, faces, [PLACES[i] for i in visible])


def ids_by_place(answer: FaceAffectArray) -> dict[int, str]:
    """Which id is at which place; every face must be at one, and no two at the same."""
    found: dict[int, str] = {}
    for face in answer.faces:
        middle = face.box.x_offset + face.box.width / 2, face.box.y_offset + face.box.height / 2
        corners = np.array(PLACES) + SIDE / 2
        distances = np.abs(corners - middle).max(axis=1)
        place = int(distances.argmin())
        assert distances[place] < SIDE / 3
        assert place not in found
        found[place] = face.face_id
    return found


@pytest.mark.parametrize("count", [2, 5, 8])
def test_every_face_keeps_its_id(robot: Driver, count: int) -> None:
    seen = [ids_by_place(robot.read(picture(range(count), frame))) for frame in range(SECOND)]
    assert set(seen[0]) == set(range(count))
    assert all(ids == seen[0] for ids in seen)
    assert len(set(seen[0].values())) == count


@pytest.mark.parametrize(("count", "hidden"), [(2, 1), (5, 2), (8, 5)])
def test_an_id_outlives_an_occlusion_of_a_second(robot: Driver, count: int, hidden: int) -> None:
    others = tuple(i for i in range(count) if i != hidden)
    before = [ids_by_place(robot.read(picture(range(count), frame))) for frame in range(10)]
    during = [ids_by_place(robot.read(picture(others, frame))) for frame in range(10, 10 + SECOND)]
    after = [ids_by_place(robot.read(picture(range(count), frame))) for frame in range(10 + SECOND, 20 + SECOND)]
    assert set(before[-1]) == set(range(count))
    rest = {place: face_id for place, face_id in before[-1].items() if place != hidden}
    assert all({place: ids[place] for place in others} == rest for ids in during)
    # A face that is missed is shown a little longer, since detectors blink.
    assert all(hidden not in ids for ids in during[SECOND // 3 :])
    # A face that comes back is seen within 200 ms.
    assert after[5] == after[-1] == before[-1]


def test_no_id_is_used_again(robot: Driver) -> None:
    seen: list[str] = []
    for _ in range(4):
        ids = [ids_by_place(robot.read(picture((3,), frame))) for frame in range(5)]
        assert ids[0] == ids[-1]
        assert list(ids[0]) == [3]
        seen.append(ids[0][3])
        robot.let_pass(5)
        while robot.read(picture(())).faces:
            pass
        robot.let_pass(5)
    assert len(set(seen)) == len(seen)
