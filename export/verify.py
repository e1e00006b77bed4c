"""Proof that the files of a bundle are the same network: the same faces through each of them.

The faces go through the robot's own crop, backbone and head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from export.faces import Faces, real_faces, rendered_faces
from export.parity import Parity, compare
from export.qdq import is_quantised, quantised_share, read_model
from mien.bundle import Bundle, Precision
from mien.errors import MienError
from mien.expression.combining import Rule, combine
from mien.expression.recogniser import Recogniser, Recognition
from mien.runtime.backend import BackendOptions
from mien.runtime.onnx_graph import graph_problems
from trainer.data.sample import Tell
from trainer.models import Network
from trainer.models.transfer import drop_affect
from trainer.stages.checkpoint import open_network

FEWEST_FACES = 1000
_SEED = 70_002
"""Of rendered people whom no recipe and no other measurement has."""
_FOUND = 0.85
"""Share of the renders in which a face is found, at least; some are covered or turned away."""
_BATCH = 16


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was proven of a bundle.

    Attributes:
        bundle: its name and checksum.
        int8_layers: how many convolutions of the int8 file are quantised, and of how many; None where it has none.
        int8_work: their share of the multiply-accumulates of all convolutions; None likewise.
        parities: each file on each kind of faces.
        left_out: how many faces could not be had, by reason.
        problems: all that is wrong, in words.
    """

    bundle: str
    int8_layers: tuple[int, int] | None
    int8_work: float | None
    parities: tuple[Parity, ...]
    left_out: dict[str, int]
    problems: tuple[str, ...]


def verify(
    bundle: Bundle,
    manifest: Path | None = None,
    checkpoints: Sequence[Path] = (),
    *,
    fewest_faces: int = FEWEST_FACES,
    tell: Tell = lambda _done, _total: None,
) -> Report:
    """Check every file of a bundle, and compare all precisions of its backbone on rendered and real faces.

    Args:
        bundle: to be verified.
        manifest: .csv of labelled real faces, as for `mien-train evaluate-faces`; None = renders only.
        checkpoints: that the bundle was made of, in that order: its fp32 file is compared with them.
        fewest_faces: as many are rendered as are missing from the real ones.
        tell: told how many faces are rendered and cut.

    Returns:
        The figures; its `problems` are empty where all goals are met.

    Raises:
        MienError: the bundle, the manifest or a checkpoint cannot be used, a file is damaged, or the bundle has no fp32
            file to compare with.
    """
    bundle.verify()
    files = bundle.manifest.backbone.files
    if "fp32" not in files:
        raise MienError(f"{bundle.path} has no backbone in fp32 to compare with", "Export it again with mien-export")
    networks = [open_network(checkpoint)[0] for checkpoint in checkpoints]
    affect = bundle.manifest.valence_arousal
    if affect is not None and affect.source == "circumplex":
        for network in networks:
            drop_affect(network)
    real = [] if manifest is None else [real_faces(bundle, manifest)]
    missing = max(0, fewest_faces - sum(len(faces.pictures) for faces in real))
    rendered = [rendered_faces(bundle, math.ceil(missing / _FOUND), _SEED, tell)] if missing else []
    parities = [parity for faces in (*real, *rendered) for parity in _compare_all(bundle, networks, faces, checkpoints)]
    left_out = {f"{faces.name}: {why}": count for faces in (*real, *rendered) for why, count in faces.left_out.items()}
    int8 = read_model(bundle.read(files["int8"])) if "int8" in files else None
    layers = {} if int8 is None else is_quantised(int8)
    return Report(
        bundle=f"{bundle.manifest.name} {bundle.sha256[:12]}",
        int8_layers=(sum(layers.values()), len(layers)) if layers else None,
        int8_work=quantised_share(int8) if layers else None,
        parities=tuple(parities),
        left_out=left_out,
        problems=(*_graph_problems(bundle), *(problem for parity in parities for problem in parity.problems)),
    )


def _graph_problems(bundle: Bundle) -> list[str]:
    """What TensorRT would refuse."""
    manifest = bundle.manifest
    parts = [manifest.detector, *(part for part in (manifest.landmarks, manifest.identity) if part is not None)]
    files = [*manifest.backbone.files.values(), *(part.file for part in parts)]
    return [f"{file.path}: {problem}" for file in files for problem in graph_problems(bundle.read(file), file.path)]


def _compare_all(
    bundle: Bundle, networks: Sequence[Network], faces: Faces, checkpoints: Sequence[Path]
) -> list[Parity]:
    """All files of the backbone on some faces: fp32 beside torch, the others beside fp32."""
    known = bundle.manifest.labels
    truth = np.array([known.index(label) if label in known else -1 for label in faces.labels], np.int64)
    about = truth, faces.name, len(set(faces.people))
    fp32 = _classify(bundle, "fp32", faces.pictures)
    found = []
    if networks:
        outputs = bundle.manifest.head.spec.classes
        rule = "mean" if outputs is None else outputs.rule
        in_torch = _classify_in_torch(networks, rule, faces.pictures)
        if _sizes(in_torch) != _sizes(fp32):
            raise MienError(
                f"{', '.join(map(str, checkpoints))}: their answers have {_sizes(in_torch)}, "
                f"those of {bundle.path} {_sizes(fp32)}",
                "Name the checkpoints that the bundle was made of, in that order",
            )
        found.append(compare("fp32", fp32, "torch", in_torch, *about))
    others: list[Precision] = [precision for precision in bundle.manifest.backbone.files if precision != "fp32"]
    found += [
        compare(precision, _classify(bundle, precision, faces.pictures), "fp32", fp32, *about) for precision in others
    ]
    return found


def _classify(bundle: Bundle, precision: Precision, pictures: NDArray[np.float32]) -> Recognition:
    recogniser = Recogniser(bundle, BackendOptions(precision=precision))
    parts = [recogniser.classify(np.ascontiguousarray(batch)) for batch in _batches(pictures)]
    recogniser.close()
    return _joined(parts)


def _classify_in_torch(networks: Sequence[Network], rule: Rule, pictures: NDArray[np.float32]) -> Recognition:
    """What the checkpoints say: their embeddings one after the other, and what several of them tell combined."""
    return _joined([_one_batch_in_torch(networks, rule, torch.from_numpy(batch)) for batch in _batches(pictures)])


@torch.no_grad()
def _one_batch_in_torch(networks: Sequence[Network], rule: Rule, batch: torch.Tensor) -> Recognition:
    told = [network(batch) for network in networks]
    classes = [one.classes.softmax(dim=1).numpy() for one in told if one.classes is not None]
    return Recognition(
        probabilities=combine(rule, np.stack(classes)) if classes else np.empty((len(batch), 0), np.float32),
        valence=_mean([one.valence.clamp(-1, 1) for one in told if one.valence is not None], (len(batch),)),
        arousal=_mean([one.arousal.clamp(-1, 1) for one in told if one.arousal is not None], (len(batch),)),
        part_confidences=np.stack([one.max(axis=1) for one in classes], axis=1)
        if len(classes) > 1
        else np.empty((len(batch), 0), np.float32),
        embeddings=np.concatenate([one.embedding.numpy() for one in told], axis=1),
        heads=(),
    )


def _mean(told: Sequence[torch.Tensor], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Of what some networks tell; NaN of a shape where none does."""
    return torch.stack([*told]).mean(dim=0).numpy() if told else np.full(shape, np.nan, np.float32)


def _sizes(told: Recognition) -> str:
    embedding, classes, parts = (one.shape[1] for one in (told.embeddings, told.probabilities, told.part_confidences))
    return f"{embedding} numbers, {classes} classes and {parts} parts"


def _joined(parts: Sequence[Recognition]) -> Recognition:
    names = ("probabilities", "valence", "arousal", "part_confidences", "embeddings")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Recognition(**arrays, heads=())


def _batches(pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [pictures[begin : begin + _BATCH] for begin in range(0, len(pictures), _BATCH)]
