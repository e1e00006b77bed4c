"""`mien-export bundle`: from checkpoints to a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from mien.bundle import Precision


def bundle(
    *checkpoints: Path,
    out: Annotated[Path, cyclopts.Parameter(name=["--out", "-o"])],
    precision: Annotated[tuple[Precision, ...], cyclopts.Parameter(consume_multiple=True, negative="")] = ("fp32",),
    feature_map: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    name: str | None = None,
) -> None:
    """Make a bundle for robots, in place of one that is there.

    Args:
        checkpoints: folders that stages were saved into; several with the same input and crop become one network with
            all their outputs, as twins for valence and arousal. Or one bundle, to which precisions are added.
        out: folder of the bundle.
        precision: of the network: fp32, fp16, int8; fp32 is always there. int8 is calibrated on the pictures that the
            checkpoint was trained on, those of a bundle on rendered faces.
        feature_map: the network also gives its last map before pooling, for explanations.
        name: of the model; by default made of architecture and data.
    """
    from export.bundle import export_bundle  # torch takes seconds to load

    made = export_bundle(
        checkpoints,
        out,
        precisions=precision,
        has_feature_map=feature_map,
        name=name,
        tell=lambda what: print(f"mien-export: {what}", file=sys.stderr, flush=True),
    )
    for file in made.files():
        print(f"{made.path / file.path}  {(made.path / file.path).stat().st_size / 1e6:.2f} MB")
