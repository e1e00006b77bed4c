"""From the pipeline's results to messages."""

from __future__ import annotations

from collections.abc import Sequence

from mien_msgs.msg import FaceAffect as FaceAffectMessage
from mien_msgs.msg import FaceAffectArray
from mien_msgs.msg import Satisfaction as SatisfactionMessage
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from mien.bundle import Bundle
from mien.expression.interactions import PersonSatisfaction
from mien.pipeline import FaceAffect


def face_affect_array(
    header: Header,
    camera: str,
    image_size: tuple[int, int],
    bundle: Bundle,
    faces: Sequence[FaceAffect],
) -> FaceAffectArray:
    """All faces of one image; `image_size` is (width, height) in pixels, the header is the image's own."""
    message = FaceAffectArray(header=header, camera=camera)
    message.image_width, message.image_height = image_size
    message.labels = list(bundle.manifest.labels)
    message.model_name = bundle.manifest.name
    message.model_sha256 = bundle.sha256
    message.faces = [_face_affect(face) for face in faces]
    return message


def _face_affect(face: FaceAffect) -> FaceAffectMessage:
    message = FaceAffectMessage(face_id=face.face_id, person_id=face.person_id, camera=face.camera)
    left, top = round(face.box.x), round(face.box.y)
    message.box = RegionOfInterest(
        x_offset=left,
        y_offset=top,
        width=round(face.box.x + face.box.width) - left,
        height=round(face.box.y + face.box.height) - top,
    )
    message.detection_confidence = face.detection_confidence
    message.box_is_predicted = face.box_is_predicted
    if face.landmarks is not None:
        message.landmark_layout = len(face.landmarks)
        message.landmarks = face.landmarks.ravel().tolist()
    message.probabilities = face.probabilities.tolist()
    message.probabilities_raw = face.probabilities_raw.tolist()
    message.expression = face.expression
    message.confidence = face.confidence
    message.valence = face.valence
    message.arousal = face.arousal
    message.part_names = list(face.part_names)
    message.part_confidences = face.part_confidences.tolist()
    message.head_version = face.head_version
    message.head_is_personal = face.head_is_personal
    return message


def satisfaction(header: Header, person: PersonSatisfaction) -> SatisfactionMessage:
    """One person's satisfaction as a message."""
    state = person.state
    return SatisfactionMessage(
        header=header,
        subject=person.subject,
        face_id=person.face_id,
        person_id=person.person_id,
        score=state.score,
        level=int(state.level),
        confidence=state.confidence,
        trend=state.trend,
        duration_s=state.duration_s,
        observed_s=state.observed_s,
        present=state.present,
    )
