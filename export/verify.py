"""Proof that the files of a bundle are the same network: the same faces through each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from mien.bundle import Bundle


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was proven of a bundle."""

    bundle: str
    problems: tuple[str, ...]


def verify(
    bundle: Bundle,
    manifest: Path | None = None,
    checkpoints: Sequence[Path] = (),
    tell: Callable[[int, int], None] | None = None,
) -> Report:
    """Check every file of a bundle, and compare all precisions of its backbone on rendered and real faces.

    Args:
        bundle: to be verified.
        manifest: .csv of labelled real faces, as for `mien-train evaluate-faces`; None = renders only.
        checkpoints: that the bundle was made of, in that order: its fp32 file is compared with them.
        tell: told how many faces are rendered and cut.

    Returns:
        The figures; its `problems` are empty where all goals are met.

    Raises:
        MienError: the bundle, the manifest or a checkpoint cannot be used.
    """
    raise NotImplementedError
