"""Whatever comes in, the perception node lives: it counts it, says what is wrong, and serves the next good image."""

from __future__ import annotations

import array
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from mien.models.default_bundle import built_bundle
from tests.ros.driver import FIRST_STAMP_NS, FRAME_PERIOD_NS, RELIABLE, Driver, perception, stamp_ns, to_stamp
from tests.ros.harness import SpinningNode, wait_for
from tests.ros.pictures import demo_frame, face_picture, paste

RAW, JPEG = "/image_raw", "/image_raw/compressed"
SMALL = np.full((48, 64, 3), 90, np.uint8)
WARN, ERROR = 1, 2


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int) -> Iterator[Driver]:
    with perception(
        tmp_path_factory.mktemp("bad_input"), ros_domain_id, parameters={"image_topics": [RAW, JPEG]}
    ) as driver:
        driver.diagnostics()
        yield driver


@pytest.fixture
def still_serves(robot: Driver) -> Iterator[None]:
    """After the test the node must find the face in good images again."""
    yield
    for message, topic in ((robot.message(demo_frame()), RAW), (robot.compressed(demo_frame()), JPEG)):
        answer = robot.read(message, topic)
        assert len(answer.faces) == 1
        assert answer.faces[0].expression == "happiness"


def changed(message: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def jpeg(data: bytes) -> CompressedImage:
    return CompressedImage(format="jpeg", data=array.array("B", data))


def jpeg_bytes(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", image)[1])


UNUSABLE: dict[str, tuple[str, Callable[[Driver], ImageMessage | CompressedImage]]] = {
    "zero size": ("zero_size", lambda robot: changed(robot.message(SMALL), width=0, height=0, step=0, data=[])),
    "nothing at all": ("zero_size", lambda robot: ImageMessage()),
    "data shorter than step times height": (
        "short_data",
        lambda robot: changed(robot.message(SMALL), data=array.array("B", bytes(48 * 64 * 3 - 1))),
    ),
    "step larger than the row": ("short_data", lambda robot: changed(robot.message(SMALL), step=64 * 3 + 100)),
    "step smaller than the row": ("bad_step", lambda robot: changed(robot.message(SMALL), step=64)),
    "unknown encoding": ("unknown_encoding", lambda robot: changed(robot.message(SMALL), encoding="thermal_17")),
    "declared far larger than sent": (
        "too_large",
        lambda robot: changed(robot.message(SMALL), width=2**32 - 1, height=2**32 - 1),
    ),
    "corrupt JPEG": ("corrupt_image", lambda robot: jpeg(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4)),
    "cut JPEG": ("corrupt_image", lambda robot: jpeg(jpeg_bytes(demo_frame())[:5000])),
    "empty JPEG": ("zero_size", lambda robot: jpeg(b"")),
    "another format": ("unknown_encoding", lambda robot: changed(jpeg(b"RVL" * 100), format="compressedDepth rvl")),
}


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.usefixtures("still_serves")
def test_an_unusable_image_is_counted_by_its_reason(robot: Driver, kind: str) -> None:
    reason, make = UNUSABLE[kind]
    counter = f"dropped.{reason}"
    message = make(robot)
    message.header.stamp = robot.new_stamp()
    topic = JPEG if isinstance(message, CompressedImage) else RAW
    count = int(robot.latest_diagnostics["frames"][2].get(counter, 0)) + 1
    robot.emotions.clear()
    robot.send(message, topic)
    report = robot.wait_for_diagnostics(
        lambda report: report["frames"][2].get(counter) == str(count), f"{counter} {count}"
    )
    level, text, values = report["frames"]
    assert level == WARN
    assert f"{reason} {count}" in text
    assert int(values["frames_in"]) == int(values["frames_processed"]) + int(values["frames_dropped"])
    assert int(report[f"camera {topic}"][2]["frames_dropped"]) > 0
    assert robot.emotions.messages == []


USABLE: dict[str, Callable[[], np.ndarray]] = {
    "1x1": lambda: np.full((1, 1, 3), 200, np.uint8),
    "one row": lambda: np.full((1, 640, 3), 200, np.uint8),
    "one column": lambda: np.full((480, 1, 3), 200, np.uint8),
    "all black": lambda: np.zeros((480, 640, 3), np.uint8),
    "all white": lambda: np.full((480, 640, 3), 255, np.uint8),
    "noise": lambda: np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8),
    "8K, grey": lambda: np.zeros((4320, 7680), np.uint8),
}


@pytest.mark.parametrize("kind", USABLE)
@pytest.mark.usefixtures("still_serves")
def test_an_odd_image_is_answered_like_any_other(robot: Driver, kind: str) -> None:
    image = USABLE[kind]()
    answer = robot.read(image)
    assert (answer.image_height, answer.image_width) == image.shape[:2]
    # In a picture of the same size the face of the one before may be shown for a moment; none is made up.
    for _ in range(4):
        assert all(face.box_is_predicted for face in answer.faces)
        answer = robot.read(image)
    assert answer.faces == []


@pytest.mark.usefixtures("still_serves")
def test_a_face_in_an_8k_jpeg_is_found(robot: Driver) -> None:
    robot.read(robot.compressed(demo_frame()), JPEG)
    large = cv2.resize(demo_frame(), (7680, 4320), interpolation=cv2.INTER_LINEAR)
    answer = robot.read(robot.compressed(large), JPEG)
    (face,) = answer.faces
    box = face.box
    np.testing.assert_allclose(
        [box.x_offset, box.y_offset, box.width, box.height], np.multiply([334, 20, 225, 323], 12), atol=200
    )


@pytest.mark.usefixtures("still_serves")
def test_stamps_that_go_backwards_are_kept_and_reported(robot: Driver) -> None:
    now_ns = stamp_ns(robot.read(demo_frame()))
    for stamp in (now_ns - 10**9 + 1, 0, FIRST_STAMP_NS - 10**15, now_ns + FRAME_PERIOD_NS // 2):
        message = robot.message(demo_frame())
        message.header.stamp = to_stamp(stamp)
        answer = robot.read(message)
        assert stamp_ns(answer) == stamp
        assert len(answer.faces) == 1
    report = robot.wait_for_diagnostics(
        lambda report: int(report[f"camera {RAW}"][2]["stamps_not_later"]) >= 2, "stamps that went backwards"
    )
    level, text, _ = report[f"camera {RAW}"]
    assert level == WARN
    assert "backwards" in text


@pytest.mark.usefixtures("still_serves")
def test_a_camera_that_stops_and_returns_is_reported_and_read_again(robot: Driver) -> None:
    robot.read(demo_frame())
    assert robot.set_parameters(camera_timeout_s=0.5).successful
    camera = f"camera {RAW}"
    robot.wait_for_diagnostics(lambda report: "no image for" in report[camera][1], "a silent camera")
    robot.disconnect(RAW)
    robot.wait_for_diagnostics(lambda report: f"nobody publishes {RAW}" in report[camera][1], "a camera that is gone")
    robot.connect(RAW)
    robot.read(demo_frame())
    assert robot.set_parameters(camera_timeout_s=60.0).successful
    robot.wait_for_diagnostics(
        lambda report: "publishes" not in report[camera][1] and "no image" not in report[camera][1], "it returned"
    )


@pytest.mark.usefixtures("still_serves")
def test_two_publishers_on_a_topic_are_both_read_and_reported(robot: Driver, ros_domain_id: int) -> None:
    robot.read(demo_frame())
    other = SpinningNode("other_camera", ros_domain_id)
    try:
        publisher = other.node.create_publisher(ImageMessage, RAW, RELIABLE)
        wait_for(lambda: publisher.get_subscription_count() == 1, 10, "the other camera's subscriber")
        for _ in range(3):
            theirs = robot.message(demo_frame(), "other")
            publisher.publish(theirs)
            assert robot.answer(theirs).header.frame_id == "other"
            assert robot.read(demo_frame()).header.frame_id == "camera_link"
        robot.wait_for_diagnostics(lambda report: "2 publishers" in report[f"camera {RAW}"][1], "two publishers")
    finally:
        other.close()


@pytest.mark.usefixtures("still_serves")
def test_a_parameter_out_of_range_changes_nothing_while_running(robot: Driver) -> None:
    result = robot.set_parameters(detection_interval_frames=31)
    assert not result.successful
    assert all(word in result.reason for word in ("detection_interval_frames", "31", "1", "30"))


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        ("threads", 0, "Parameter threads cannot be 0. Allowed: int from 1 to 64"),
        ("detection_threshold", 2.5, "Parameter detection_threshold cannot be 2.5. Allowed: float from 0.0 to 0.99"),
        ("detector", "magic", "Parameter detector cannot be 'magic'. Allowed: one of 'yunet', 'haar', 'ssd'"),
        ("autostart", "perhaps", "Parameter autostart cannot be 'perhaps'. Allowed: true or false"),
    ],
)
def test_a_parameter_out_of_range_at_start_ends_the_node_with_one_line(start_node, parameter, value, said) -> None:
    node = start_node("perception", parameters={parameter: value})
    node.expected_exit = 2
    assert node.wait(20) == 2
    assert node.output.strip() == f"mien: {said}"


# Bundles


def copy_of_bundle(folder: Path) -> Path:
    """Of fer2013, whose head does not say for which backbone it was made."""
    return Path(shutil.copytree(built_bundle("fer2013"), folder))


def edit_manifest(bundle: Path, *path: str, value: Any) -> Path:
    """Replace a field of the manifest; the files stay as they are."""
    file = bundle / "manifest.json"
    manifest = json.loads(file.read_text())
    place = manifest
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    file.write_text(json.dumps(manifest))
    return bundle


def flip_a_byte(bundle: Path) -> Path:
    file = bundle / "head.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return bundle


def without_backbone(bundle: Path) -> Path:
    (bundle / "backbone.fp32.onnx").unlink()
    return bundle


def fewer_labels(bundle: Path) -> Path:
    manifest = json.loads((bundle / "manifest.json").read_text())
    labels = manifest["labels"][:-1]
    coordinates = {label: manifest["valence_arousal"]["coordinates"][label] for label in labels}
    edit_manifest(bundle, "valence_arousal", "coordinates", value=coordinates)
    return edit_manifest(bundle, "labels", value=labels)


def replace_backbone(bundle: Path, data: bytes) -> Path:
    (bundle / "backbone.fp32.onnx").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return edit_manifest(bundle, "backbone", "files", "fp32", "sha256", value=digest)


def no_network(bundle: Path) -> Path:
    """A file with the right checksum that is not a network."""
    return replace_backbone(bundle, b"not a network")


BROKEN_BUNDLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "wrong checksum": (flip_a_byte, "head.safetensors: wrong checksum"),
    "missing file": (without_backbone, "backbone.fp32.onnx is missing"),
    "unknown manifest version": (lambda bundle: edit_manifest(bundle, "version", value=99), "version 99"),
    "fewer labels than the head": (fewer_labels, "head.safetensors: "),
    "path that leaves the folder": (
        lambda bundle: edit_manifest(bundle, "head", "file", "path", value="../head.safetensors"),
        "'../head.safetensors' leaves the bundle",
    ),
    "no network": (no_network, "backbone"),
    "no bundle at all": (lambda bundle: bundle / "nowhere", "no such bundle"),
}


def fails_for_three(bundle: Path) -> Path:
    """A backbone that runs for one or two faces and fails for three, as an engine may that runs out of memory."""
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"], start=0, end=1),
        helper.make_node("Gather", ["three_numbers", "shape"], ["number"]),  # of index 3 there is none
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["anything"]),
        helper.make_node("Add", ["anything", "number"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "fails_for_three",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 64, 64])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 1152])],
        [
            numpy_helper.from_array(np.zeros((64 * 64, 1152), np.float32), "weight"),
            numpy_helper.from_array(np.zeros(3, np.float32), "three_numbers"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return replace_backbone(bundle, model.SerializeToString())


@pytest.fixture(scope="module")
def unconfigured(tmp_path_factory: pytest.TempPathFactory, ros_domain_id: int) -> Iterator[Driver]:
    """A node whose start has failed: its default bundle cannot be made, because the cache cannot be written."""
    folder = tmp_path_factory.mktemp("bundles")
    file = folder / "a regular file"
    file.write_text("in the way")
    with perception(
        folder,
        ros_domain_id,
        namespace="bundles",
        environment={"MIEN_CACHE": str(file / "cache")},
        wait_for_state="unconfigured",
    ) as driver:
        driver.process.wait_for_output("Cannot configure")
        yield driver


def test_an_unwritable_cache_leaves_the_node_alive_and_says_why(unconfigured: Driver) -> None:
    assert unconfigured.state == "unconfigured"
    level, text, _ = unconfigured.diagnostics()["model"]
    assert level == ERROR
    for said in (text, unconfigured.process.output):
        assert "a regular file/cache" in said
        assert "cannot be written" in said
        assert "MIEN_CACHE" in said


@pytest.mark.parametrize("kind", BROKEN_BUNDLES)
def test_a_broken_bundle_leaves_the_node_alive_and_says_why(unconfigured: Driver, tmp_path: Path, kind: str) -> None:
    spoil, said = BROKEN_BUNDLES[kind]
    bundle = spoil(copy_of_bundle(tmp_path / "bundle"))
    assert unconfigured.set_parameters(bundle=str(bundle)).successful
    assert not unconfigured.change_state("configure")
    assert unconfigured.state == "unconfigured"
    level, text, _ = unconfigured.diagnostics()["model"]
    assert level == ERROR
    assert said in text, text
    assert str(tmp_path) in text
    assert text in unconfigured.process.output
    # The next bundle is a good one.
    assert unconfigured.set_parameters(bundle=str(copy_of_bundle(tmp_path / "good"))).successful
    assert unconfigured.change_state("configure")
    assert unconfigured.change_state("activate")
    try:
        assert len(unconfigured.read(demo_frame(), "/bundles/image_raw").faces) == 1
    finally:
        assert unconfigured.change_state("deactivate")
        assert unconfigured.change_state("cleanup")
        unconfigured.disconnect("/bundles/image_raw")


def test_a_failing_network_costs_its_images_only(unconfigured: Driver, tmp_path: Path) -> None:
    bundle = fails_for_three(copy_of_bundle(tmp_path / "bundle"))
    assert unconfigured.set_parameters(bundle=str(bundle)).successful
    assert unconfigured.change_state("configure")
    assert unconfigured.change_state("activate")
    topic = "/bundles/image_raw"
    try:
        assert len(unconfigured.read(demo_frame(), topic).faces) == 1
        face = face_picture(300, 210)
        unconfigured.let_pass(5)  # so that the next image is searched for faces
        three = paste((640, 360), [face] * 3, [(5, 60), (215, 60), (425, 60)])
        unconfigured.send(unconfigured.message(three), topic)
        report = unconfigured.wait_for_diagnostics(
            lambda report: report["frames"][2].get("dropped.processing_failed") == "1", "the failure"
        )
        assert report["model"][0] == ERROR
        assert "processing failed" in report["model"][1]
        assert "processing failed" in unconfigured.process.output
        unconfigured.let_pass(5)
        while unconfigured.read(np.full((360, 640, 3), 90, np.uint8), topic).faces:
            pass
        unconfigured.let_pass(5)
        assert len(unconfigured.read(demo_frame(), topic).faces) == 1
        assert unconfigured.counts()["frames_dropped"] == 1
        assert unconfigured.diagnostics()["model"][:2] == (0, "ok")
    finally:
        assert unconfigured.change_state("deactivate")
        assert unconfigured.change_state("cleanup")
        unconfigured.disconnect(topic)


@pytest.mark.parametrize("topics", [["image raw"], [], ["/a//b"]])
def test_impossible_topics_leave_the_node_alive(unconfigured: Driver, topics: list[str]) -> None:
    assert unconfigured.set_parameters(image_topics=topics).successful
    try:
        assert not unconfigured.change_state("configure")
        level, text, _ = unconfigured.diagnostics()["model"]
        assert level == ERROR
        assert "Parameter image_topics" in text
    finally:
        assert unconfigured.set_parameters(image_topics=["image_raw"]).successful
