"""The whole path on a real video: ids, batches over cameras, detection rate, smoothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from mien.bundle import Bundle, open_bundle
from mien.errors import MienError
from mien.expression.head import Head
from mien.expression.recogniser import HeadInUse, HeadsInUse
from mien.faces.detector import Box, Image, intersection_over_union
from mien.models.default_bundle import default_bundle
from mien.models.fetch import fetch
from mien.pipeline import FaceAffect, Frame, Pipeline, PipelineSettings
from mien.sources import open_source

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
    make_pipeline: Callable[..., Pipeline], images: list[Image]
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
        assert face.landmarks.shape == (5, 2)


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
