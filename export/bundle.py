"""From checkpoints to a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mien.bundle import Bundle, Precision


def export_bundle(
    sources: Sequence[Path],
    folder: Path,
    *,
    precisions: Sequence[Precision] = ("fp32",),
    has_feature_map: bool = False,
    name: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Make a bundle, in place of one that is there; an error leaves everything as it was.

    Args:
        sources: folders of checkpoints with the same input and crop, whose embeddings are put together in this order;
            or one bundle, to which precisions are added.
        folder: of the bundle.
        precisions: of the backbone; fp32 is always there.
        has_feature_map: the graph also gives the last map before it is pooled, for explanations.
        name: of the model; None = made of architecture and lineage.
        tell: told what is being done.

    Raises:
        MienError: a source cannot be used or the sources do not fit each other; the fp32 file differs from the
            checkpoints by more than 1e-4; a precision cannot be reached; the folder holds something else than a bundle
            or cannot be written.
    """
    raise NotImplementedError
