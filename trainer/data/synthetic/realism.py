"""Do detectors and a network trained on photographs see in the renders what their labels say?

The faces are strong expressions (the prototypes that count as strong, at intensity 0.85 to 1) of people who are in no
data set, near-frontal, without glasses or anything else in front of the face, in varied light. They are searched and
read exactly as on a robot: the bundle's detector, crop and network.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from mien.bundle import Bundle
from mien.errors import MienError
from mien.expression.recogniser import FaceInImage, Recogniser
from mien.faces.detector import Image
from mien.faces.detectors import make_detector
from mien.runtime.backend import BackendOptions
from trainer.data.synthetic import chance
from trainer.data.synthetic.camera import Shot
from trainer.data.synthetic.expression import draw_prototype, make_expression
from trainer.data.synthetic.person import Population, make_person
from trainer.data.synthetic.studio import Scene, Studio

TUNING_SEED = 90_001
"""The people with whom the strengths of the prototypes were tuned; never measured, never in a data set."""
MEASURING_SEED = 90_002
"""People for the figures: not used for tuning, never in a data set."""

SIDE = 192
MEASURED = ("neutral", "happiness", "surprise", "fear", "disgust", "anger", "sadness")
"""The classes that the network of the package `fer` knows; it knows no contempt."""


class ClassFigures(msgspec.Struct, frozen=True):
    """One class: renders, how many the detector found, how many of all were read as that class, and as what others."""

    renders: int
    found: int
    recall: float
    taken_for: dict[str, int]


class Realism(msgspec.Struct, frozen=True):
    """What the robot's models see in renders.

    Attributes:
        model: name and checksum of the bundle.
        crop: kind and margin.
        people: number of different people, none used for tuning.
        image_side: pixels.
        detected: share of all renders in which the detector finds the face, 0 to 1.
        classes: by label; a face that is not found counts as not recognised.
        note: what to know before reading the figures.
    """

    model: str
    crop: str
    people: int
    image_side: int
    detected: float
    classes: dict[str, ClassFigures]
    note: str = (
        "strong, near-frontal renders without glasses; the prototypes were tuned with this network on other people, "
        "so the figures say that expressions are readable, not that renders equal photographs; of disgust, only the "
        "two variants with action unit 18 (pursed lips) count as strong, which the published tables lack; the "
        "published 9+17, 10+17 and 9+16+25 do not count"
    )


def measure_realism(bundle: Bundle, renders_per_class: int = 200, seed: int = MEASURING_SEED) -> Realism:
    """Render each class and read it with a bundle that was trained on photographs.

    Args:
        bundle: its detector and recogniser are used as on the robot.
        renders_per_class: each shows another person; the same people show every class.
        seed: of the people.

    Raises:
        MienError: the bundle does not know the classes, or rendering is not possible here.
    """
    labels = bundle.manifest.labels
    if unknown := set(MEASURED) - set(labels):
        raise MienError(
            f"{bundle.path} does not know {', '.join(sorted(unknown))}",
            "Measure with the one of: mien models bundle fer2013",
        )
    detector = make_detector(bundle, "yunet", 0, 0.0, BackendOptions())
    recogniser = Recogniser(bundle, BackendOptions())
    counts = {label: np.zeros(len(labels), int) for label in MEASURED}
    for label, image in render_strong(renders_per_class, seed):
        found = detector.detect(image)
        if found:
            batch = recogniser.prepare([FaceInImage(image, found[0].box, None)])
            counts[label][recogniser.classify(batch).probabilities[0].argmax()] += 1
    recogniser.close()
    return Realism(
        model=f"{bundle.manifest.name} {bundle.sha256[:12]}",
        crop=f"{bundle.manifest.backbone.crop.kind}, margin {bundle.manifest.backbone.crop.margin}",
        people=renders_per_class,
        image_side=SIDE,
        detected=float(sum(count.sum() for count in counts.values()) / (renders_per_class * len(MEASURED))),
        classes={
            label: ClassFigures(
                renders=renders_per_class,
                found=int(count.sum()),
                recall=float(count[labels.index(label)] / renders_per_class),
                taken_for={labels[i]: int(count[i]) for i in np.argsort(-count) if count[i] and labels[i] != label},
            )
            for label, count in counts.items()
        },
    )


def show_realism(result: Realism, console: Console) -> None:
    """Print the figures as a table; `msgspec.json.encode` gives them as JSON."""
    console.print(
        f"{result.model}, crop {result.crop}: {result.people} people, {result.image_side} px; "
        f"faces found in {result.detected:.1%}; {result.note}",
        soft_wrap=True,
        highlight=False,
    )
    table = Table("", "renders", "found", "recall", "taken for", box=None, padding=(0, 1, 0, 0))
    for label, figures in result.classes.items():
        others = ", ".join(f"{name} {count}" for name, count in figures.taken_for.items())
        table.add_row(label, str(figures.renders), str(figures.found), f"{figures.recall:.2f}", others)
    console.print(table)


def render_strong(renders_per_class: int, seed: int) -> Iterator[tuple[str, Image]]:
    """Label and picture, uint8 BGR, of strong expressions; a person shows every class once."""
    studio = Studio(SIDE)
    for number in range(renders_per_class):
        person = make_person(studio.assets, Population(), f"measured-{number}", [seed, number])
        for position, label in enumerate(MEASURED):
            random = np.random.default_rng([seed, number, position])
            prototype = draw_prototype(random, label, only_strong=True)
            expression = make_expression(
                random, label, prototype, float(random.uniform(0.85, 1.0)), asymmetry=person.asymmetry
            )
            shot = Shot(
                yaw=float(random.uniform(-15, 15)),
                pitch=float(random.uniform(-8, 8)),
                roll=float(random.uniform(-6, 6)),
                distance=float(random.uniform(8, 14)),
                share=float(random.uniform(0.38, 0.5)),
            )
            scene = Scene(
                person,
                expression,
                shot,
                chance.light(random, 0.5),
                chance.wild_background(random, SIDE),
            )
            yield label, studio.shoot(scene).image
    studio.close()
