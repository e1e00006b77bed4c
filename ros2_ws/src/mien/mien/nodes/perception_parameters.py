"""The parameters of the perception node, and what they mean to the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mien.nodes.parameters import Parameter
from mien.personal.learners import DEFAULT_LEARNER, LEARNERS
from mien.pipeline import PipelineSettings
from mien.runtime.backend import BACKENDS, BackendOptions

PARAMETERS = (
    Parameter(
        "image_topics",
        ("image_raw",),
        "Camera topics; those that end in /compressed are CompressedImage. All faces of all cameras share one batch.",
    ),
    Parameter(
        "image_qos",
        "auto",
        "Reliability of the image subscriptions; auto follows the publisher.",
        choices=("auto", "reliable", "best_effort"),
    ),
    Parameter("bundle", "", "Folder or .zip with the models; empty: the default bundle."),
    Parameter("head", "", "A head.safetensors for the bundle's backbone; empty: the bundle's own head.", live=True),
    Parameter("backend", "onnxruntime", "What runs the networks.", choices=BACKENDS),
    Parameter(
        "precision",
        "",
        "Of the backbone's files; empty: what the backend runs best.",
        choices=("", "fp32", "fp16", "int8"),
    ),
    Parameter("threads", 1, "CPU threads of one network.", 1, 64),
    Parameter("detector", "yunet", "Face detector.", choices=("yunet", "haar", "ssd")),
    Parameter(
        "detector_width",
        0,
        "Width in pixels that images are shrunk to for the detector; wider finds smaller faces; 0: the bundle's.",
        0,
        4096,
    ),
    Parameter("detection_threshold", 0.0, "Lowest detector score, 0 to 1; 0: the bundle's.", 0.0, 0.99),
    Parameter(
        "detection_interval_frames",
        3,
        "Search for faces in every n-th frame (more often on slow cameras); between, boxes follow their faces.",
        1,
        30,
        live=True,
    ),
    Parameter("maximum_faces", 16, "Faces read per image; the best are kept.", 1, 64, live=True),
    Parameter("track_timeout_s", 1.5, "How long a face out of sight keeps its id, seconds.", 0.0, 60.0, live=True),
    Parameter(
        "smoothing_time_constant_s",
        0.3,
        "Smoothing of expression, valence and arousal, seconds; 0: off.",
        0.0,
        10.0,
        live=True,
    ),
    Parameter("satisfaction_rate_hz", 5.0, "How often satisfaction is published, Hz.", 0.1, 60.0, live=True),
    Parameter("people_folder", "", "Folder for all that is learned of people; empty: nothing is, and nobody is known."),
    Parameter("learner", DEFAULT_LEARNER, "What learns from a label as it comes.", choices=tuple(LEARNERS)),
    Parameter(
        "questions_per_hour", 6.0, "How often label_requests asks about enrolled people, all together.", 0.0, 3600.0
    ),
    Parameter(
        "identity",
        "auto",
        "What recognises enrolled people: an identity network, or matches from another node (REP-155).",
        choices=("auto", "off", "rep155"),
    ),
    Parameter("place", "", "Where the robot is: the id of an enrolled place, or empty.", live=True),
    Parameter("rep155", True, "Publish REP-155 topics under /humans when hri_msgs is installed."),
    Parameter("camera_timeout_s", 2.0, "A camera silent for longer is reported, seconds.", 0.1, 600.0, live=True),
    Parameter("autostart", True, "Configure and activate at start, without a lifecycle manager."),
)


def pipeline_settings(values: Mapping[str, Any]) -> PipelineSettings:
    """The settings that the node's values, by name, stand for.

    Raises:
        MienError: a number is out of its range.
    """
    return PipelineSettings(
        detector=values["detector"],
        detector_width=values["detector_width"],
        detection_threshold=values["detection_threshold"],
        detection_interval_frames=values["detection_interval_frames"],
        maximum_faces=values["maximum_faces"],
        track_timeout_s=values["track_timeout_s"],
        smoothing_time_constant_s=values["smoothing_time_constant_s"],
        backend=BackendOptions(values["backend"], values["threads"], values["precision"] or None),
    )
