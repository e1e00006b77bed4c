"""`mien-train explain`: a picture of a face, a model, and one picture that shows why the model answers so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from mien.errors import MienError
from mien.models.default_bundle import default_bundle
from trainer.data.output import output_errors, whole_file
from trainer.explain.explanation import Explanation
from trainer.explain.faces import Face, find_face
from trainer.explain.models import Model, open_bundle_model, open_checkpoints_model
from trainer.explain.picture import draw_explanation

_FACE_PIXELS = 462
"""As large as the picture shows it."""


class PartAnswer(msgspec.Struct, frozen=True):
    """What one part answers by itself, and where it looks.

    Attributes:
        name: of the part.
        expression: with the highest probability.
        confidence: that probability, 0 to 1.
        cells: rows and columns of its map.
        hottest: middle of the cell that speaks most for the explained class, x and y in pixels of the picture; None
            where nothing does.
    """

    name: str
    expression: str
    confidence: float
    cells: tuple[int, int]
    hottest: tuple[float, float] | None


class ExplainedPicture(msgspec.Struct, frozen=True):
    """What `mien-train explain` found.

    Attributes:
        picture: that was explained.
        file: that shows it.
        model: name of the bundle, or of the checkpoints.
        lineage: what it has learned from.
        faces: in the picture, of which the largest is explained; 0 where the model sees whole pictures.
        square: what the model sees, pixels of the picture: x, y, width, height.
        expression: that is answered.
        confidence: its probability, 0 to 1.
        explained: class that the maps explain.
        probabilities: of all classes.
        parts: one, or several that answer together.
    """

    picture: str
    file: str
    model: str
    lineage: str
    faces: int
    square: tuple[float, float, float, float]
    expression: str
    confidence: float
    explained: str
    probabilities: dict[str, float]
    parts: list[PartAnswer]


def explain_picture(
    picture: Path,
    checkpoints: Sequence[Path] = (),
    bundle: Path | None = None,
    class_name: str | None = None,
    out: Path | None = None,
) -> ExplainedPicture:
    """Find the largest face of a picture, ask a model why it answers so, and draw that.

    Args:
        picture: file.
        checkpoints: folders of trained networks, which answer together.
        bundle: folder or .zip; without it and without checkpoints the default bundle.
        class_name: that is explained; None = the one that is answered.
        out: .png file; None = out/explain/PICTURE-CLASS.png.

    Raises:
        MienError: picture, model or class cannot be used, the picture shows no face, or the file cannot be written.
    """
    if checkpoints and bundle is not None:
        raise MienError("Both checkpoints and a bundle are named", "Give --checkpoint or --bundle")
    if out is not None and out.suffix.lower() != ".png":
        raise MienError(f"{out} is no .png file", "Name one: --out FILE.png")
    with ExitStack() as stack:
        opened = open_checkpoints_model(checkpoints) if checkpoints else open_bundle_model(bundle or default_bundle())
        model = stack.enter_context(opened)
        face = find_face(picture, model.crop, model.detector, model.locator, model.is_enhanced)
        explanation = model.explain(face.prepared(model.input), class_name)
    explained = explanation.labels[explanation.target]
    file = out or Path("out/explain") / f"{picture.stem}-{explained}.png"
    if file.resolve() == picture.resolve():
        raise MienError(f"{file} is the picture that is to be explained", "Choose another --out")
    drawn = draw_explanation(face.seen(_FACE_PIXELS), explanation, _caption(face, model, explanation))
    with output_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as partial:
        partial.write_bytes(drawn)
    best = int(explanation.probabilities.argmax())
    square = face.place
    return ExplainedPicture(
        picture=str(picture),
        file=str(file),
        model=model.name,
        lineage=model.lineage,
        faces=face.faces,
        square=(square.x, square.y, square.width, square.height),
        expression=explanation.labels[best],
        confidence=float(explanation.probabilities[best]),
        explained=explained,
        probabilities=dict(zip(explanation.labels, explanation.probabilities.tolist(), strict=True)),
        parts=_answers(face, explanation),
    )


def which_face(faces: int) -> str:
    """Which of the faces of a picture is explained, in words."""
    if faces == 0:
        return "seen as a whole"
    return "its only face" if faces == 1 else f"the largest of its {faces} faces"


def _answers(face: Face, explanation: Explanation) -> list[PartAnswer]:
    answers = []
    for part in explanation.parts:
        best, (rows, columns) = int(part.probabilities.argmax()), part.heat.shape
        row, column = divmod(int(part.heat.argmax()), columns)
        square = face.place
        x, y = square.x + (column + 0.5) / columns * square.width, square.y + (row + 0.5) / rows * square.height
        answers.append(
            PartAnswer(
                name=part.name,
                expression=explanation.labels[best],
                confidence=float(part.probabilities[best]),
                cells=(rows, columns),
                hottest=(round(x, 1), round(y, 1)) if part.heat.any() else None,
            )
        )
    return answers


def _caption(face: Face, model: Model, explanation: Explanation) -> list[str]:
    cells = " and ".join(dict.fromkeys("×".join(map(str, part.heat.shape)) for part in explanation.parts))
    union = " The upper map is the union of the lower ones: their pixelwise maximum, after each is divided by its own."
    return [
        f"Picture: {face.picture.name}, {which_face(face.faces)}. Model: {model.name}. Learned from: {model.lineage}.",
        "Grad-CAM (Selvaraju and others, 2017): how much what the network finds at a place raises its score for "
        f"{explanation.labels[explanation.target]}. The network's last map, or the largest of several, has "
        f"{cells} cells, so it says roughly where, not why that matters, and nothing of what speaks against the class."
        + (union if len(explanation.parts) > 1 else ""),
    ]
