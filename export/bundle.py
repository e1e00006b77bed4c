"""From checkpoints to a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from export.calibration import calibration_pictures, rendered_pictures
from export.card import model_card
from export.figures import measured
from export.graph import export_graph
from export.half import to_fp16
from export.landmarks import export_landmarks
from export.manifest import check_cards, describe, join_figures, part_names, with_rule
from export.output import new_bundle, write_file
from export.qdq import quantised_share, read_model
from export.quantize import quantize
from export.statistics import head_statistics
from mien.bundle import (
    MANIFEST_VERSION,
    Accuracy,
    BackboneSpec,
    Bundle,
    CropSpec,
    File,
    HeadFile,
    InputSpec,
    Manifest,
    Precision,
    encode_manifest,
    open_bundle,
)
from mien.errors import MienError
from mien.expression.combining import Rule
from mien.expression.head import Head
from mien.expression.head_file import encode_head
from mien.expression.recogniser import Recogniser
from mien.models.build_bundle import with_landmarks
from mien.models.fetch import fetch
from mien.models.own_networks import LandmarksCard
from mien.models.yunet import yunet_detector
from mien.personal.samples import BaseHead, Tensors
from mien.runtime.backend import BackendOptions
from trainer.data.face_squares import landmarks_model
from trainer.data.sample import Tell
from trainer.models.heads import make_head
from trainer.models.transfer import drop_affect
from trainer.stages.checkpoint import Card, open_network

Say = Callable[[str], None]
"""Told what is being done."""


def export_bundle(
    sources: Sequence[Path],
    folder: Path,
    *,
    precisions: Sequence[Precision] = ("fp32",),
    has_feature_map: bool = False,
    rule: Rule | None = None,
    has_circumplex: bool = False,
    landmarks: Path | None = None,
    name: str | None = None,
    say: Say = lambda _: None,
    tell: Tell = lambda _done, _total: None,
) -> Bundle:
    """Make a bundle, in place of one that is there; an error leaves everything as it was.

    Args:
        sources: folders of checkpoints with the same input and crop, whose embeddings are put together in this order;
            or one bundle, to which precisions are added.
        folder: of the bundle.
        precisions: of the backbone; fp32 is always there.
        has_feature_map: the graph also gives the last map before it is pooled, for explanations.
        rule: how the expressions that several networks tell are combined; None = as a bundle has it, else their mean.
        has_circumplex: valence and arousal follow from the expressions of checkpoints, not from outputs of their own.
        landmarks: folder of a checkpoint that locates all landmarks, for the bundle's landmark network; None = as a
            bundle has it, else a published one where the crop needs landmarks.
        name: of the model; None = made of architecture and data, or as the bundle has it.
        say: told what is being done.
        tell: told how much of it is done, where it takes long.

    Raises:
        MienError: a source cannot be used or the sources do not fit each other; the fp32 file differs from the
            checkpoints by more than float32 rounds; a precision cannot be reached; the folder holds something else than
            a bundle or cannot be written.
    """
    if not sources:
        raise MienError("There is nothing to export", "Name a checkpoint, or a bundle")
    wanted = _Wanted(sources, precisions, has_feature_map, rule, has_circumplex, landmarks, say, tell)
    with new_bundle(folder) as partial:
        if any(source.suffix == ".zip" or (source / "manifest.json").is_file() for source in sources):
            manifest = _add_to_bundle(wanted, partial)
        else:
            manifest = _from_checkpoints(wanted, partial)
        _finish(partial, msgspec.structs.replace(manifest, name=name or manifest.name), say)
    return open_bundle(folder)


class _Wanted(NamedTuple):
    """What `export_bundle` was asked for."""

    sources: Sequence[Path]
    precisions: Sequence[Precision]
    has_feature_map: bool
    rule: Rule | None
    has_circumplex: bool
    landmarks: Path | None
    say: Say
    tell: Tell


def _from_checkpoints(wanted: _Wanted, folder: Path) -> Manifest:
    """Write all files of a new bundle but card and manifest."""
    sources, precisions, say = wanted.sources, wanted.precisions, wanted.say
    opened = [open_network(source) for source in sources]
    networks, cards = [network for network, _ in opened], [card for _, card in opened]
    if wanted.has_circumplex:
        for network in networks:
            drop_affect(network)
        cards = [
            msgspec.structs.replace(card, outputs=network.outputs)
            for network, card in zip(networks, cards, strict=True)
        ]
    check_cards(sources, cards)
    if cards[0].crop.kind == "uncropped":
        say("warning: trained on whole pictures; in a camera's image it sees the scene, not one face")
    names = part_names(cards)
    spec, tensors = make_head(networks, names)
    if wanted.rule is not None:
        spec = with_rule(spec, wanted.rule)
    known = np.empty(0, np.float32)
    if "int8" in precisions:  # before the long work, as they may be out of reach
        say("int8: cutting pictures that it was trained on")
        known = calibration_pictures(sources, cards[0].input, tell=wanted.tell)
    say("fp32: writing the graph, and comparing it with torch")
    fp32 = export_graph(networks, wanted.has_feature_map)
    data, detector = yunet_detector(fetch("yunet"))
    write_file(folder, detector.file.path, data)
    landmarks = _write_landmarks(folder, cards[0], wanted)
    words = describe(cards)
    by = f"trained with mien {version('mien')}, checkpoint {' and '.join(card.sha256[:12] for card in cards)}"
    origin = f"{words.lineage} ({by})", words.licence

    size = sum(card.embedding_size for card in cards)

    def int8() -> bytes:
        return quantize(fp32, known, Head(spec, tensors, len(words.labels), size), wanted.tell)

    backbone = BackboneSpec(
        files=_write_precisions(folder, fp32, ["fp32", *precisions], int8, origin, say),
        input=_input(cards[0], say),
        crop=cards[0].crop,
        embedding_output="embedding",
        embedding_size=size,
        feature_map_output="feature_map" if wanted.has_feature_map else None,
    )
    statistics, on = _statistics(BaseHead(spec, tensors, words.labels, size, None), fp32, backbone.input, wanted)
    encoded = encode_head({**tensors, **statistics}, backbone.embedding_id, words.labels)
    head = File("head.safetensors", write_file(folder, "head.safetensors", encoded), origin[0] + on, origin[1])
    manifest = Manifest(
        format="mien-bundle",
        version=MANIFEST_VERSION,
        **words._asdict(),
        detector=detector,
        backbone=backbone,
        head=HeadFile(head, spec),
        accuracy=join_figures(names, [_measured(source, wanted) for source in sources]),
    )
    return manifest if landmarks is None else with_landmarks(manifest, landmarks)


def _measured(source: Path, wanted: _Wanted) -> tuple[Accuracy, ...]:
    """Its figures, without those of outputs that are left out."""
    left_out = ("valence", "arousal") if wanted.has_circumplex else ()
    return tuple(figure for figure in measured(source) if not figure.metric.startswith(left_out))


def _input(card: Card, say: Say) -> InputSpec:
    """What a robot does to a crop: the nearest to what was done to the pictures that it was trained on."""
    if card.contrast != "picture":
        return card.input
    say("warning: trained on pictures whose contrast was enhanced as a whole; on a robot that of the crop is")
    return msgspec.structs.replace(card.input, contrast="clahe")


def _statistics(base: BaseHead, fp32: bytes, spec: InputSpec, wanted: _Wanted) -> tuple[Tensors, str]:
    """Statistics of the training data, and in words on what they were measured; nothing where there are no data."""
    wanted.say("head: measuring what the training data look like")
    try:
        found, faces = head_statistics(base, fp32, spec, wanted.sources, wanted.tell)
    except MienError as error:
        wanted.say(
            f"warning: no statistics of the training data, which prototypes, lda and recentre need ({error.problem})"
        )
        return {}, ""
    return found, f"; statistics of {faces:,} of the faces that it was trained on"


def _add_to_bundle(wanted: _Wanted, folder: Path) -> Manifest:
    """Write the files of a bundle again, with the precisions that it lacks."""
    bundle = open_bundle(wanted.sources[0])
    manifest, backbone = bundle.manifest, bundle.manifest.backbone
    if wanted.has_circumplex:
        raise MienError(
            f"{bundle.path} is a bundle, and where its valence and arousal come from stays",
            "Export its checkpoint again",
        )
    if len(wanted.sources) > 1:
        raise MienError(f"{bundle.path} is a bundle and cannot be put together with others", "Name checkpoints only")
    if "fp32" not in backbone.files or backbone.embedding_output != "embedding":
        raise MienError(
            f"{bundle.path} has no backbone in fp32 with an output 'embedding'", "Export its checkpoint again"
        )
    if wanted.has_feature_map and backbone.feature_map_output is None:
        raise MienError(f"{bundle.path} was made without a feature map", "Export its checkpoint again with it")
    Recogniser(bundle, BackendOptions(precision="fp32")).close()
    former = manifest.landmarks if wanted.landmarks is not None else None
    replaced = [manifest.card, *([] if former is None else [former.file])]
    for file in bundle.files():
        if file not in replaced:
            write_file(folder, file.path, bundle.read(file))
    if wanted.landmarks is not None:
        manifest = with_landmarks(manifest, _trained_landmarks(folder, wanted.landmarks, backbone.crop, wanted.say))
    fp32 = backbone.files["fp32"]
    added: list[Precision] = [precision for precision in wanted.precisions if precision not in backbone.files]
    data, head = bundle.read(fp32), bundle.load_head()
    new = _write_precisions(
        folder,
        data,
        added,
        lambda: quantize(data, rendered_pictures(bundle, tell=wanted.tell), head, wanted.tell),
        (fp32.source, fp32.licence),
        wanted.say,
    )
    head_file = manifest.head
    if wanted.rule is not None:
        head_file = msgspec.structs.replace(head_file, spec=with_rule(head_file.spec, wanted.rule))
    backbone = msgspec.structs.replace(backbone, files=backbone.files | new)
    return msgspec.structs.replace(manifest, head=head_file, backbone=backbone)


def _write_precisions(
    folder: Path,
    fp32: bytes,
    precisions: Sequence[Precision],
    int8: Callable[[], bytes],
    origin: tuple[str, str],
    say: Say,
) -> dict[Precision, File]:
    files: dict[Precision, File] = {}
    for precision in dict.fromkeys(precisions):
        data, (source, licence) = fp32, origin
        if precision == "fp16":
            say("fp16: converting")
            data = to_fp16(fp32)
        elif precision == "int8":
            say("int8: calibrating")
            data = int8()
            share = f"{quantised_share(read_model(data)):.0%} of the multiply-accumulates in int8"
            say(f"int8: {share}")
            source = f"{source}; {share}"
        path = f"backbone.{precision}.onnx"
        files[precision] = File(path, write_file(folder, path, data), source, licence)
    return files


def _trained_landmarks(folder: Path, checkpoint: Path, crop: CropSpec, say: Say) -> LandmarksCard:
    say("landmarks: writing the graph, and comparing it with torch")
    if crop.kind in ("outer", "inner"):
        say("warning: faces are now cut by other landmarks than those that the model was trained with")
    return export_landmarks(checkpoint, folder)


def _write_landmarks(folder: Path, card: Card, wanted: _Wanted) -> LandmarksCard | None:
    """The landmark network: the one that is wanted, else a published one where the crop needs it."""
    if wanted.landmarks is not None:
        return _trained_landmarks(folder, wanted.landmarks, card.crop, wanted.say)
    if card.crop.kind not in ("outer", "inner"):
        return None
    data, spec = landmarks_model()
    write_file(folder, spec.file.path, data)
    return LandmarksCard(spec, ())


def _finish(folder: Path, manifest: Manifest, say: Say) -> None:
    """Write card and manifest, and load the bundle as a robot does, in each precision."""
    card = write_file(folder, "README.md", model_card(manifest))
    manifest = msgspec.structs.replace(manifest, card=File("README.md", card, "written by mien-export", "as the model"))
    write_file(folder, "manifest.json", encode_manifest(manifest))
    bundle = open_bundle(folder)
    bundle.verify()
    for precision in manifest.backbone.files:
        say(f"{precision}: loading it as a robot does")
        Recogniser(bundle, BackendOptions(precision=precision)).close()
