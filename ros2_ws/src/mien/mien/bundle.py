"""The bundle: a folder or .zip with a manifest and the models, the only thing that training hands to the robot.

The manifest is the only source of preprocessing, crop, labels and ranges, on host and robot. Nothing of a bundle is
used before its checksum has been compared; no path of a manifest may leave the bundle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mien.bundle_files import read_from_bundle, read_head_file
from mien.errors import MienError
from mien.expression.head import Head, HeadSpec
from mien.expression.head_file import decode_head

MANIFEST_VERSION = 2
"""The newest version that is read; `_is_of_version_2` says what it has that 1 has not."""
CANONICAL_LABELS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Positive = Annotated[int, msgspec.Meta(gt=0, le=8192)]
_EmbeddingSize = Annotated[int, msgspec.Meta(gt=0, le=1 << 20)]  # VGG19's has 25,088, and several stand side by side
_Unit = Annotated[float, msgspec.Meta(ge=-1, le=1)]
Precision = Literal["fp32", "fp16", "int8"]
Contrast = Literal["none", "clahe"]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle: path relative to the manifest, checksum, and where it came from."""

    path: str
    sha256: Sha256
    source: str
    licence: str


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How pixels become a network's input: resized to width × height, then (value − mean) · scale per channel.

    Values are 0…255 before; `mean` and `scale` have one entry per channel (one for grey, three otherwise). With
    `contrast: clahe` a grey crop's contrast is enhanced in between (`mien.faces.crop.enhance_contrast`).
    """

    width: Positive
    height: Positive
    channels: Literal["grey", "rgb", "bgr"]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    contrast: Contrast = "none"

    @property
    def depth(self) -> int:
        """Number of channels."""
        return 1 if self.channels == "grey" else 3


class CropSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which square of the image shows the face.

    `box`: square around the middle of the detector's box, side = (1 + margin) · its longer side. `outer`, `inner`: the
    same around all 68 landmarks, or around those without the face contour (points 1–17) (paper 000). `uncropped`: the
    whole image, for data sets only.
    """

    kind: Literal["box", "outer", "inner", "uncropped"]
    margin: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0


class DetectorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The face detector and how wide the image is made for it (its height follows, in multiples of 32)."""

    kind: Literal["yunet"]
    file: File
    width: Positive
    score_threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    nms_threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)]


class LandmarksSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A network that gives 68 points as 136 numbers x0 y0 x1 …, 0…1 across its crop.

    `confidence_output`, where it has one, gives 68 numbers, 0…1: how sure it is of each point.
    """

    file: File
    input: InputSpec
    crop: CropSpec
    output: str
    confidence_output: str | None = None


class IdentitySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network that gives a face's identity embedding, and how alike two of the same person are.

    The face is turned, scaled and moved so that its five landmarks (right eye, left eye, nose tip, right and left
    mouth corner, as `Detection` has them) come as near as possible to `points`, pixels of the input. `threshold` is the
    lowest cosine between embeddings at which a face is taken for a person.
    """

    file: File
    input: InputSpec
    points: Annotated[tuple[tuple[float, float], ...], msgspec.Meta(min_length=5, max_length=5)]
    output: str
    size: Positive
    threshold: Annotated[float, msgspec.Meta(ge=-1, le=1)]


class BackboneSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The frozen part of the expression network, in one or more precisions, up to its embedding."""

    files: dict[Precision, File]
    input: InputSpec
    crop: CropSpec
    embedding_output: str
    embedding_size: _EmbeddingSize
    feature_map_output: str | None = None

    @property
    def embedding_id(self) -> str:
        """Which embeddings are comparable, and what heads and stored embeddings belong to.

        Equal for equal pixels through the same network; the precision does not count: the fp32 file names it, from
        which the others are made.
        """
        reference = self.files["fp32"] if "fp32" in self.files else self.files[min(self.files)]
        parts = (reference.sha256, self.input, self.crop, self.embedding_output)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


class HeadFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The dense part: tensors in one safetensors file, their meaning in `spec`."""

    file: File
    spec: HeadSpec


class ValenceArousalSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where valence and arousal come from.

    `head`: the model's own outputs, in [low, high]. `circumplex`: the mean of published coordinates of the classes,
    weighted by their probabilities; `coordinates` has (valence, arousal) per label and `citation` their source.
    """

    source: Literal["head", "circumplex"]
    low: float = -1.0
    high: float = 1.0
    coordinates: dict[str, tuple[_Unit, _Unit]] = {}
    citation: str = ""


class Accuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measured figure: what, on which data and split, over how many people and faces."""

    metric: str
    value: float
    data: str
    split: str
    people: int
    faces: int
    note: str = ""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`manifest.json`. `labels` is empty where the head gives valence and arousal only."""

    format: Literal["mien-bundle"]
    version: int
    name: str
    description: str
    licence: str
    lineage: str
    data_sets: tuple[str, ...]
    labels: tuple[str, ...]
    detector: DetectorSpec
    backbone: BackboneSpec
    head: HeadFile
    valence_arousal: ValenceArousalSpec | None = None
    landmarks: LandmarksSpec | None = None
    identity: IdentitySpec | None = None
    accuracy: tuple[Accuracy, ...] = ()
    card: File | None = None
    """What a person should know before using it: README.md."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest has been read and checked. Files are verified when they are asked for.

    Attributes:
        path: the folder or .zip.
        manifest: its contents.
        sha256: checksum of manifest.json, which holds those of the files: the identity of the model.
    """

    path: Path
    manifest: Manifest
    sha256: str

    def read(self, file: File) -> bytes:
        """Read a file of the bundle and verify its checksum.

        Raises:
            MienError: it is missing, leaves the bundle, or its checksum differs.
        """
        data = read_from_bundle(self.path, file.path)
        found = hashlib.sha256(data).hexdigest()
        if found != file.sha256:
            raise MienError(
                f"{self.path / file.path}: wrong checksum {found[:12]}…, the manifest says {file.sha256[:12]}…",
                "The file is damaged or was changed: fetch or export the bundle again",
            )
        return data

    def load_head(self, other: Path | None = None) -> Head:
        """The bundle's own (base) head, or one that was learned on its backbone later.

        Args:
            other: safetensors file of a head with the tensors that the manifest names; None: the bundle's own.

        Raises:
            MienError: the file is missing, damaged, made for another backbone, or does not fit labels and embedding.
        """
        file = self.manifest.head.file
        path = other or self.path / file.path
        data = self.read(file) if other is None else read_head_file(other)
        tensors = decode_head(data, path, self.manifest.backbone.embedding_id, self.manifest.labels)
        try:
            return Head(
                self.manifest.head.spec, tensors, len(self.manifest.labels), self.manifest.backbone.embedding_size
            )
        except MienError as error:
            raise MienError(f"{path}: {error.problem}", error.remedy) from error

    def verify(self) -> None:
        """Check every file and the head; raises MienError on the first that is wrong."""
        for file in self.files():
            self.read(file)
        self.load_head()

    def files(self) -> list[File]:
        """All files that the manifest names."""
        manifest = self.manifest
        optional = [part.file for part in (manifest.landmarks, manifest.identity) if part is not None]
        card = [manifest.card] if manifest.card is not None else []
        return [manifest.detector.file, *manifest.backbone.files.values(), manifest.head.file, *optional, *card]


def open_bundle(path: Path) -> Bundle:
    """Open a bundle folder or .zip and check its manifest.

    Raises:
        MienError: naming the file and field that is wrong, with the remedy.
    """
    path = Path(path)
    if not path.exists():
        raise MienError(
            f"{path}: no such bundle", "Give the path of a bundle folder or .zip, or run: mien models fetch"
        )
    data = read_from_bundle(path, "manifest.json")
    where = path / "manifest.json"
    try:
        head = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MienError(f"{where} is not JSON ({error})", "Export the bundle again") from error
    if not isinstance(head, dict) or head.get("format") != "mien-bundle":
        raise MienError(
            f"{where} is not the manifest of a mien bundle",
            "Give the path of a bundle made by mien-export or mien models fetch",
        )
    if head.get("version") not in range(1, MANIFEST_VERSION + 1):
        raise MienError(
            f"{where} has version {head.get('version')!r}, this mien reads versions 1 to {MANIFEST_VERSION}",
            "Update mien, or export the bundle again with this version",
        )
    try:
        manifest = msgspec.convert(head, Manifest)
    except msgspec.ValidationError as error:
        raise MienError(f"{where}: {error}", "Mend that field or export the bundle again") from error
    _check(manifest, where)
    return Bundle(path, manifest, hashlib.sha256(data).hexdigest())


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as readable JSON, the same bytes for the same content.

    Its version becomes the oldest one that can say it, so that robots with an older mien read what they can, and say of
    the rest that they are too old.
    """
    manifest = msgspec.structs.replace(manifest, version=2 if _is_of_version_2(manifest) else 1)
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _is_of_version_2(manifest: Manifest) -> bool:
    """Whether it says what version 1 cannot. Such fields are left out where they say nothing new."""
    classes, landmarks = manifest.head.spec.classes, manifest.landmarks
    is_weighted = classes is not None and classes.combine == "reliability_of_softmax"
    is_sure = landmarks is not None and landmarks.confidence_output is not None
    return is_weighted or is_sure or any(spec.contrast != "none" for spec in _inputs(manifest).values())


def _inputs(manifest: Manifest) -> dict[str, InputSpec]:
    """Of the networks whose preprocessing the manifest says, by its fields."""
    optional = {"landmarks": manifest.landmarks, "identity": manifest.identity}
    inputs = {name: part.input for name, part in optional.items() if part is not None}
    return {"backbone": manifest.backbone.input, **inputs}


def _check(manifest: Manifest, where: Path) -> None:
    """What the types alone do not say."""

    def fail(problem: str) -> MienError:
        return MienError(f"{where}: {problem}", "Mend the manifest or export the bundle again")

    labels, classes = manifest.labels, manifest.head.spec.classes
    if classes is None and labels:
        raise fail("labels are named, but the head has no output for classes")
    if classes is not None and (len(labels) < 2 or len(set(labels)) != len(labels)):
        raise fail("labels must be two or more different names")
    unknown = sorted(set(labels) - set(CANONICAL_LABELS))
    if unknown:
        raise fail(f"unknown labels {unknown}; known are {list(CANONICAL_LABELS)}")
    if not manifest.backbone.files:
        raise fail("backbone.files is empty")
    for name, spec in _inputs(manifest).items():
        if len(spec.mean) != spec.depth or len(spec.scale) != spec.depth:
            raise fail(f"{name}.input: mean and scale need {spec.depth} numbers for {spec.channels}")
        if spec.contrast != "none" and spec.channels != "grey":
            raise fail(f"{name}.input: contrast {spec.contrast} needs grey pictures, not {spec.channels}")
    if manifest.backbone.crop.kind in ("outer", "inner") and manifest.landmarks is None:
        raise fail(f"backbone.crop {manifest.backbone.crop.kind} needs a landmarks model")
    problem = _affect_problem(manifest)
    if problem:
        raise fail(problem)


def _affect_problem(manifest: Manifest) -> str | None:
    affect, outputs = manifest.valence_arousal, manifest.head.spec
    if outputs.classes is None and (affect is None or affect.source != "head"):
        return "a head without classes must give valence and arousal: valence_arousal.source must be head"
    if affect is None:
        return None
    if not affect.low < affect.high:
        return "valence_arousal: low must be below high"
    if affect.source == "circumplex" and set(affect.coordinates) != set(manifest.labels):
        return "valence_arousal.coordinates must name exactly the labels"
    if affect.source == "head" and (outputs.valence is None or outputs.arousal is None):
        return "valence_arousal comes from the head, but the head has no valence and arousal outputs"
    return None
