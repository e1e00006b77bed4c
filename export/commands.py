"""`mien-export bundle, verify`: from checkpoints to a bundle, and the proof that its files are the same network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from mien.bundle import Precision, open_bundle
from mien.expression.combining import Rule
from mien.models.default_bundle import default_bundle
from trainer.data.commands import Json, print_json, progress


def bundle(
    *checkpoints: Path,
    out: Annotated[Path, cyclopts.Parameter(name=["--out", "-o"])],
    precision: Annotated[tuple[Precision, ...], cyclopts.Parameter(consume_multiple=True, negative="")] = ("fp32",),
    feature_map: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    combine: Rule | None = None,
    circumplex: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    landmarks: Path | None = None,
    name: str | None = None,
) -> None:
    """Make a bundle for robots, in place of one that is there.

    Args:
        checkpoints: folders that stages were saved into; several with the same input and crop become one network with
            all their outputs, as twins for valence and arousal, or the parts of a face. Or one bundle, to which
            precisions are added.
        out: folder of the bundle.
        precision: of the network: fp32, fp16, int8; fp32 is always there. int8 is calibrated on the pictures that the
            checkpoint was trained on, those of a bundle on rendered faces.
        feature_map: the network also gives its last map before pooling, for explanations.
        combine: how expressions that several of them tell become one answer: their mean (paper 004, eq. 4; the default)
            or one that is weighted by reliability, how far the others bear each out on the face.
        circumplex: valence and arousal follow from the expressions, by published coordinates, not from own outputs.
        landmarks: folder of a checkpoint that locates all 68 landmarks: it becomes the bundle's landmark network.
        name: of the model; by default made of architecture and data.
    """
    from export.bundle import export_bundle  # torch takes seconds to load

    with progress("export") as tell:
        made = export_bundle(
            checkpoints,
            out,
            precisions=precision,
            has_feature_map=feature_map,
            rule=combine,
            has_circumplex=circumplex,
            landmarks=landmarks,
            name=name,
            say=lambda what: print(f"mien-export: {what}", file=sys.stderr, flush=True),
            tell=tell,
        )
    for file in made.files():
        print(f"{made.path / file.path}  {(made.path / file.path).stat().st_size / 1e6:.2f} MB")


def verify(
    bundle: Path | None = None,
    *,
    faces: Path | None = None,
    checkpoint: Annotated[tuple[Path, ...], cyclopts.Parameter(consume_multiple=True, negative="")] = (),
    as_json: Json = False,
) -> int:
    """Check every file of a bundle and compare its precisions on a thousand faces; fails where a goal is missed.

    Args:
        bundle: folder or .zip; without it the default bundle.
        faces: .csv of labelled real faces, as for `mien-train evaluate-faces`; by default all faces are rendered.
        checkpoint: those that the bundle was made of, in that order: the fp32 file is compared with them in torch.
        as_json: print JSON instead of a table.
    """
    from export.show import show_report
    from export.verify import verify as verify_bundle  # torch takes seconds to load

    with progress("faces") as tell:
        report = verify_bundle(open_bundle(bundle or default_bundle()), faces, checkpoint, tell=tell)
    if as_json:
        print_json(report)
    else:
        show_report(report)
    return 1 if report.problems else 0
