"""The whole path on a real video: ids, batches over cameras, detection rate, smoothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from mien.bundle import Bundle, CropSpec, File, InputSpec, LandmarksSpec, open_bundle
from mien.errors import MienError
from mien.expression.head import Head
from mien.expression.recogniser import HeadInUse, HeadsInUse
from mien.faces.crop import crop_square
from mien.faces.detector import Box, Detection, Image, intersection_over_union
from mien.faces.landmarks import TRUSTED_FROM
from mien.models.default_bundle import built_bundle, default_bundle
from mien.models.fetch import fetch
from mien.pipeline import FaceAffect, Frame, Pipeline, PipelineSettings
from mien.records import record_of
from mien.sources import open_source
from tests.faces.template import TEMPLATE, constant_network, spec, with_landmarks

PERIOD_S = 1 / 24


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(default_bundle())


@pytest.fixture(scope="module")
def images() -> list[Image]:
    """The first five seconds of the demo video: one woman, always visible."""
    return [frame.image for frame, _ in zip(open_source(fetch("demo_video")), range(120), strict=False)]


@pytest.fixture
def make_pipeline(bundle: Bundle) -> Callable[..., Pipeline]:
    numbers = count(1)
    return lambda **settings: Pipeline(bundle, PipelineSettings(**settings), lambda: f"f{next(numbers)}")


def read(pipeline: Pipeline, images: Sequence[Image], camera: str = "camera") -> list[list[FaceAffect]]:
    return [pipeline.process([Frame(image, camera, i * PERIOD_S)])[0] for i, image in enumerate(images)]


def test_the_detector_is_made_ready_for_images_of_a_known_size_only(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline()
    pipeline.warm_up()
    assert pipeline.runtimes["detector"] == ""
    pipeline.warm_up((640, 480))
    assert pipeline.runtimes["detector"] == pipeline.runtimes["backbone"]


def test_one_face_is_read_in_every_frame_under_one_id(
    make_pipeline: Callable[..., Pipeline], bundle: Bundle, images: list[Image]
) -> None:
    results = read(make_pipeline(), images)
    assert [len(faces) for faces in results] == [1] * len(images)
    assert {faces[0].face_id for faces in results} == {"f1"}
    for (face,) in results:
        assert face.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert face.confidence == pytest.approx(face.probabilities.max())
        assert -1 <= face.valence <= 1
        assert -1 <= face.arousal <= 1
        assert face.landmarks is not None
        assert face.landmarks.shape == ((5, 2) if bundle.manifest.landmarks is None else (68, 2))


def test_a_bundle_without_classes_gives_valence_and_arousal_only(affect_bundle: Path, images: list[Image]) -> None:
    pipeline = Pipeline(open_bundle(affect_bundle), PipelineSettings(), lambda: "f1")
    assert pipeline.labels == ()
    raw, smooth = [], []
    for (face,) in read(pipeline, images[:40]):
        assert (face.expression, len(face.probabilities), len(face.probabilities_raw)) == ("", 0, 0)
        assert np.isnan(face.confidence)
        smooth.append(face.valence)
    pipeline.apply(PipelineSettings(smoothing_time_constant_s=0.0))
    for (face,) in read(pipeline, images[:40]):
        raw.append(face.valence)
    assert 0 < np.abs(np.diff(smooth)).sum() < np.abs(np.diff(raw)).sum()
    assert max(map(abs, raw)) <= 1


def test_faces_between_detections_are_where_every_frame_detection_finds_them(
    make_pipeline: Callable[..., Pipeline], images: list[Image]
) -> None:
    every = read(make_pipeline(detection_interval_frames=1), images)
    default = read(make_pipeline(), images)
    predicted = [faces[0].box_is_predicted for faces in default]
    assert sum(predicted) == len(images) * 2 // 3
    found = sum(
        any(intersection_over_union(face.box, other.box) >= 0.5 for other in others)
        for faces, others in zip(every, default, strict=True)
        for face in faces
    )
    assert found >= 0.99 * sum(map(len, every))


def test_a_slow_camera_is_searched_often_enough_for_new_faces(
    make_pipeline: Callable[..., Pipeline], images: list[Image]
) -> None:
    for rate_hz in (2, 5, 7, 10, 15, 30, 60):
        pipeline = make_pipeline()
        empty = np.zeros_like(images[0])
        frames = [empty] * (rate_hz + 1) + [images[0]] * rate_hz
        seen = [bool(pipeline.process([Frame(image, "c", i / rate_hz)])[0]) for i, image in enumerate(frames)]
        delay_s = (seen.index(True) - (rate_hz + 1)) / rate_hz
        assert delay_s <= 0.2, f"at {rate_hz} Hz a new face is found after {delay_s} s"


def test_cameras_share_a_batch_and_nothing_else(make_pipeline: Callable[..., Pipeline], images: list[Image]) -> None:
    together = make_pipeline()
    left, right = images[:20], images[60:80]
    both = [
        together.process([Frame(a, "left", i * PERIOD_S), Frame(b, "right", i * PERIOD_S)])
        for i, (a, b) in enumerate(zip(left, right, strict=True))
    ]
    alone = read(make_pipeline(), left), read(make_pipeline(), right)
    for i, pair in enumerate(both):
        for side in (0, 1):
            (here,), (there,) = pair[side], alone[side][i]
            assert here.camera == ("left", "right")[side]
            np.testing.assert_allclose(here.probabilities_raw, there.probabilities_raw, atol=1e-5)
            assert here.box == there.box
    assert {faces[0].face_id for pair in both for faces in pair} == {"f1", "f2"}


def test_each_face_has_its_persons_head_from_the_next_frame_on(
    make_pipeline: Callable[..., Pipeline], bundle: Bundle, images: list[Image]
) -> None:
    tensors = safetensors.numpy.load(bundle.read(bundle.manifest.head.file))
    rolled = {name: np.roll(tensor, 1, axis=0) for name, tensor in tensors.items()}
    size = bundle.manifest.backbone.embedding_size
    head = Head(bundle.manifest.head.spec, rolled, len(bundle.manifest.labels), size)
    pipeline = make_pipeline(smoothing_time_constant_s=0.0)
    two = np.hstack([images[0], images[0]])

    def faces(time_s: float) -> list[FaceAffect]:
        return sorted(pipeline.process([Frame(two, "c", time_s)])[0], key=lambda face: face.face_id)

    before = faces(0.0)
    pipeline.heads = HeadsInUse({"f1": HeadInUse(head, 3, "p7", is_personal=True), "gone": HeadInUse(head, 9)})
    with_head = faces(0.0)
    pipeline.heads = HeadsInUse(otherwise=HeadInUse(head, 5))
    elsewhere = faces(0.0)
    pipeline.heads = HeadsInUse()
    after = faces(0.0)
    assert [(face.person_id, face.head_version, face.head_is_personal) for face in with_head] == [
        ("p7", 3, True),
        ("", 0, False),
    ]
    assert [(face.person_id, face.head_version, face.head_is_personal) for face in elsewhere] == [("", 5, False)] * 2
    np.testing.assert_allclose(elsewhere[1].probabilities, np.roll(before[1].probabilities, 1), atol=1e-4)
    assert [face.face_id for face in before] == [face.face_id for face in after] == ["f1", "f2"]
    np.testing.assert_allclose(with_head[0].probabilities, np.roll(before[0].probabilities, 1), atol=1e-4)
    np.testing.assert_allclose(with_head[1].probabilities, before[1].probabilities, atol=1e-4)
    np.testing.assert_allclose(after[0].probabilities, before[0].probabilities, atol=1e-4)
    told = head.predict(np.array([with_head[0].embedding])).probabilities
    np.testing.assert_allclose(with_head[0].probabilities_raw, told[0], atol=1e-5)


def test_smoothing_calms_and_can_be_switched_off(make_pipeline: Callable[..., Pipeline], images: list[Image]) -> None:
    def restlessness(results: list[list[FaceAffect]]) -> float:
        values = np.array([faces[0].probabilities for faces in results])
        return float(np.abs(np.diff(values, axis=0)).sum())

    smooth, rough = read(make_pipeline(), images), read(make_pipeline(smoothing_time_constant_s=0.0), images)
    assert restlessness(smooth) < 0.5 * restlessness(rough)
    for (face,) in rough:
        np.testing.assert_array_equal(face.probabilities, face.probabilities_raw)


def test_no_more_faces_than_asked_for(make_pipeline: Callable[..., Pipeline], images: list[Image]) -> None:
    small = images[0][::2, ::2]
    four = np.vstack([np.hstack([small, small]), np.hstack([small, small])])
    assert len(make_pipeline().process([Frame(four, "c", 0.0)])[0]) == 4
    one = make_pipeline(maximum_faces=1, detection_interval_frames=1)
    half = np.zeros_like(four)
    half[: len(small), : small.shape[1]] = small  # the others are missed once, and still followed
    for i, image in enumerate([four, four, half, four]):
        assert len(one.process([Frame(image, "c", i / 24)])[0]) == 1


@pytest.mark.parametrize("detector", ["yunet", "haar", "ssd"])
def test_every_detector_serves(make_pipeline: Callable[..., Pipeline], images: list[Image], detector: str) -> None:
    (face,) = make_pipeline(detector=detector).process([Frame(images[0], "c", 0.0)])[0]
    reference = make_pipeline().process([Frame(images[0], "c", 0.0)])[0][0].box
    assert intersection_over_union(_square(face.box), _square(reference)) > 0.4
    assert face.expression in make_pipeline().labels


def _square(box: Box) -> Box:
    side = max(box.width, box.height)
    x, y = box.center
    return Box(x - side / 2, y - side / 2, side, side)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 500, 3), (500, 2), (480, 640), (4320, 7680, 3)])
def test_strange_images_have_no_faces_and_do_no_harm(
    make_pipeline: Callable[..., Pipeline], images: list[Image], shape: tuple[int, ...]
) -> None:
    pipeline = make_pipeline()
    assert pipeline.process([Frame(np.zeros(shape, np.uint8), "c", 0.0)]) == [[]]
    assert len(pipeline.process([Frame(images[0], "c", 0.5)])[0]) == 1


def test_grey_images_are_read_too(make_pipeline: Callable[..., Pipeline], images: list[Image]) -> None:
    grey = images[0].mean(axis=2).astype(np.uint8)
    (face,) = make_pipeline().process([Frame(grey, "c", 0.0)])[0]
    (colour,) = make_pipeline().process([Frame(images[0], "c", 0.0)])[0]
    assert intersection_over_union(face.box, colour.box) > 0.8


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"detector_width": -5}, "width"),
        ({"detection_threshold": float("nan")}, "threshold"),
        ({"detection_threshold": 7.0}, "threshold"),
        ({"detection_interval_frames": 0}, "interval"),
        ({"detector": "eagle"}, "eagle"),
    ],
)
def test_settings_out_of_range_are_refused(
    make_pipeline: Callable[..., Pipeline], settings: dict[str, float], word: str
) -> None:
    with pytest.raises(MienError, match=word):
        make_pipeline(**settings)


# --- landmarks ---


def cut_by_landmarks(folder: Path, model: bytes, how: LandmarksSpec) -> Bundle:
    """The bundle fer2013 with landmarks that its faces are cut by."""
    backbone = replace(open_bundle(built_bundle("fer2013")).manifest.backbone, crop=CropSpec("inner", 0.2))
    return open_bundle(with_landmarks(folder, model, how, backbone=backbone))


def test_landmarks_are_located_in_every_face_and_the_crop_follows_them(tmp_path: Path, images: list[Image]) -> None:
    bundle = cut_by_landmarks(tmp_path / "bundle", constant_network(TEMPLATE), spec())
    numbers = count(1)
    pipeline = Pipeline(bundle, PipelineSettings(), lambda: f"f{next(numbers)}")
    pair = np.hstack([images[0], images[0]])
    for i in range(4):
        left, right = pipeline.process([Frame(pair, "c", i * PERIOD_S)])[0]
        for face in (left, right):
            assert face.landmarks is not None
            assert face.landmarks.shape == (68, 2)
            assert (face.landmark_confidences == 1).all()
            middle = face.landmarks.mean(axis=0) - face.box.center
            assert np.abs(middle).max() < 0.15 * face.box.height
    assert "landmarks" in pipeline.times.ms
    assert pipeline.landmark_counts == {"trusted": 8}
    pipeline.close()


@pytest.mark.parametrize("points", [np.full((68, 2), np.nan, np.float32), TEMPLATE * 0.01], ids=["NaN", "one place"])
def test_a_face_whose_landmarks_cannot_be_trusted_is_read_by_its_box(
    tmp_path: Path, images: list[Image], points: NDArray[np.float32], make_pipeline: Callable[..., Pipeline]
) -> None:
    bundle = cut_by_landmarks(tmp_path / "bundle", constant_network(points), spec())
    pipeline = Pipeline(bundle, PipelineSettings(), lambda: "f1")
    for (face,) in read(pipeline, images[:3]):
        assert face.landmarks is not None
        assert face.landmarks.shape == (5, 2)  # the detector's
        assert len(face.landmark_confidences) == 0
        assert face.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert pipeline.landmark_counts == {"not_trusted": 3}
    pipeline.close()
    assert "landmarks" not in make_pipeline().times.ms


class Says:
    """A detector that finds what it is told to."""

    runtime, problem = "", None

    def __init__(self) -> None:
        self.found: list[Detection] = []

    def detect(self, image: Image) -> list[Detection]:
        del image
        return self.found

    def close(self) -> None:
        pass


coordinates = st.one_of(st.floats(-700, 700), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e9, 1e30]))
sizes = st.one_of(st.floats(1, 400), st.sampled_from([np.nan, np.inf, -3.0, 0.0, 12.0, 1e9, 1e30]))
detections = st.builds(Detection, st.builds(Box, coordinates, coordinates, sizes, sizes), st.just(0.9))


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Says]:
    """A pipeline whose detector can be told what to find, with plausible landmarks in every box."""
    folder = tmp_path_factory.mktemp("anywhere") / "bundle"
    detector, numbers = Says(), count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.pipeline.make_detector", lambda *_: detector)
        bundle = cut_by_landmarks(folder, constant_network(TEMPLATE), spec())
        settings_used = PipelineSettings(detection_interval_frames=1)
        return Pipeline(bundle, settings_used, lambda: f"f{next(numbers)}"), detector


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(detections, max_size=4), min_size=1, max_size=3))
def test_whatever_is_taken_for_a_face_no_number_gets_out_that_is_none(
    anywhere: tuple[Pipeline, Says], found: list[list[Detection]]
) -> None:
    pipeline, detector = anywhere
    image = np.zeros((90, 160, 3), np.uint8)
    for i, detector.found in enumerate(found):
        (faces,) = pipeline.process([Frame(image, "c", i / 30)])
        for face in faces:
            record_of(face, pipeline.labels)  # refuses what is not finite
            assert 0 <= face.box.x <= face.box.x + face.box.width <= 160
            if face.landmarks is not None:
                assert face.landmark_confidences.mean() >= TRUSTED_FROM


def test_tiny_faces_and_those_mostly_beyond_the_border_are_read_without_landmarks(
    anywhere: tuple[Pipeline, Says],
) -> None:
    pipeline, detector = anywhere
    tiny, beyond, other, behind = Box(20, 20, 9, 12), Box(140, 20, 60, 80), Box(60, 20, 40, 50), Box(75, 25, 30, 40)
    detector.found = [Detection(box, 0.9) for box in (tiny, beyond, other, behind)]
    (faces,) = pipeline.process([Frame(np.zeros((90, 160, 3), np.uint8), "borders", 0.0)])
    located = {face.box: face.landmarks is not None for face in faces}
    assert located == {tiny: False, beyond.clipped(160, 90): False, other: True, behind: True}
    for face in faces:
        assert face.probabilities.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed; its models are optional")
def test_the_inner_crop_of_a_still_face_is_still(tmp_path: Path, images: list[Image]) -> None:
    """One real frame again and again, each time with the noise of a sensor and JPEG, through a published network."""
    file = File("landmarks.onnx", "0" * 64, "test", "MIT")
    grey = InputSpec(64, 64, "grey", (0.0,), (1 / 256,))
    published = LandmarksSpec(file, grey, CropSpec("box", 0.1), "output")
    bundle = cut_by_landmarks(tmp_path / "bundle", fetch("landmarks_68").read_bytes(), published)
    pipeline = Pipeline(bundle, PipelineSettings(), lambda: "f1")
    random = np.random.default_rng(1)
    squares = []
    for i in range(110):
        noisy = np.clip(images[0] + random.normal(0, 8, images[0].shape), 0, 255).astype(np.uint8)
        jpeg = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        image = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
        (face,) = pipeline.process([Frame(image, "c", i / 30)])[0]
        square = crop_square(bundle.manifest.backbone.crop, face.box, face.landmarks, 0, 0)
        squares.append((*square.center, square.width))
    pipeline.close()
    settled = np.array(squares[10:])
    assert np.ptp(settled, axis=0).max() <= 0.02 * settled[:, 2].mean()
