"""What is asked why: a bundle, or trained networks, with the crop and the detector that go with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.bundle import CANONICAL_LABELS, Bundle, CropSpec, InputSpec, LandmarksSpec, open_bundle
from mien.errors import MienError
from mien.faces.detector import Detector
from mien.faces.detectors import make_detector
from mien.faces.landmarks import LandmarkLocator
from mien.models.default_bundle import default_bundle
from mien.runtime.backend import BackendOptions
from trainer.explain.bundles import ExplainedBundle
from trainer.explain.explanation import Explanation, Floats

if TYPE_CHECKING:
    from trainer.models.network import Network
    from trainer.stages.checkpoint import Card

_ROBOTS_DETECTOR = "yunet"


@dataclass(frozen=True, eq=False)
class Model:
    """Something that answers for a face and can be asked why.

    Attributes:
        name: for people.
        lineage: what it has learned from.
        input: how pixels become its input.
        crop: of the face.
        is_enhanced: whether faces are found in, and cut out of, what `trainer.data.enhanced` makes of a picture.
        detector: of faces.
        locator: of landmarks, where the crop needs them.
        explain: given the input, float32 (C, H, W), and a class or None, why; raises MienError.
    """

    name: str
    lineage: str
    input: InputSpec
    crop: CropSpec
    is_enhanced: bool
    detector: Detector
    locator: LandmarkLocator | None
    explain: Callable[[Floats, str | None], Explanation]


@contextmanager
def open_bundle_model(path: Path) -> Iterator[Model]:
    """A bundle, as the robot runs it; torch is not needed.

    Raises:
        MienError: it cannot be used, or does not say where its network looks.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    landmarks = None if manifest.landmarks is None else (bundle.read(manifest.landmarks.file), manifest.landmarks)
    with ExitStack() as networks:
        explained = ExplainedBundle(bundle)
        networks.callback(explained.close)
        backbone = manifest.backbone
        yield Model(
            f"{manifest.name} {bundle.sha256[:12]}",
            manifest.lineage,
            backbone.input,
            backbone.crop,
            False,
            *_finders(bundle, _ROBOTS_DETECTOR, landmarks, networks),
            explained.explain,
        )


@contextmanager
def open_checkpoints_model(folders: Sequence[Path]) -> Iterator[Model]:
    """Trained networks that answer together by the mean of their probabilities (paper 004, eq. 4).

    Args:
        folders: of the checkpoints.

    Raises:
        MienError: one cannot be used, tells no expressions, or they do not fit each other.
    """
    from trainer.data.face_squares import landmarks_model
    from trainer.explain.networks import explain_networks
    from trainer.stages.checkpoint import open_network

    opened = [open_network(folder) for folder in folders]
    cards = [card for _, card in opened]
    for folder, card in zip(folders, cards, strict=True):
        _check(folder, card, folders[0], cards[0])
    networks: dict[str, Network] = dict(zip(_names(folders, cards), (network for network, _ in opened), strict=True))
    crop = cards[0].crop
    with ExitStack() as stack:
        yield Model(
            ", ".join(
                f"{name} ({card.architecture} {card.sha256[:12]})" for name, card in zip(networks, cards, strict=True)
            ),
            "; ".join(dict.fromkeys(card.lineage_text for card in cards)),
            cards[0].input,
            crop,
            cards[0].contrast == "picture",
            *_finders(
                open_bundle(default_bundle()),
                cards[0].detector,
                landmarks_model() if crop.kind in ("outer", "inner") else None,
                stack,
            ),
            lambda image, class_name: explain_networks(networks, image, class_name),
        )


def _finders(
    bundle: Bundle, name: str, landmarks: tuple[bytes, LandmarksSpec] | None, networks: ExitStack
) -> tuple[Detector, LandmarkLocator | None]:
    options = BackendOptions()
    detector = make_detector(bundle, name, 0, 0.0, options)
    networks.callback(detector.close)
    if landmarks is None:
        return detector, None
    locator = LandmarkLocator(*landmarks, options)
    networks.callback(locator.close)
    return detector, locator


def _check(folder: Path, card: Card, first: Path, expected: Card) -> None:
    labels, remedy = card.outputs.labels, "Name a checkpoint that has learned expressions"
    if card.outputs.points:
        raise MienError(f"{folder} locates landmarks ({card.outputs.points}) and tells no expressions", remedy)
    if not labels:
        raise MienError(f"{folder} tells {' and '.join(card.outputs.affect)}, and no expressions", remedy)
    unknown = sorted(set(labels) - set(CANONICAL_LABELS))
    if unknown:
        raise MienError(f"{folder} tells {len(labels)} classes that are no expressions, such as {unknown[0]!r}", remedy)
    for what in ("crop", "input", "contrast", "detector"):
        if getattr(card, what) != getattr(expected, what):
            raise MienError(
                f"{first} and {folder} look at faces differently: their {what} differs", "Name networks of one recipe"
            )


def _names(folders: Sequence[Path], cards: Sequence[Card]) -> list[str]:
    """The stages that they are of; networks of one stage are told apart by their folders."""
    names = [
        card.lineage[-1].stage if card.lineage else folder.name for folder, card in zip(folders, cards, strict=True)
    ]
    counts = Counter(names)
    return [str(folder) if counts[name] > 1 else name for folder, name in zip(folders, names, strict=True)]
