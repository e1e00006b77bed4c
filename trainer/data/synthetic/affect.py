"""Valence and arousal of a rendered expression.

The rule: the mean of the published coordinates of the expressions in the mixture, weighted by their shares, times the
intensity. Linear in the intensity, so a relaxed face is the origin and a full expression has the published value. Where
the parts of a mixture differ in intensity, each counts with its own; an ambiguous neutral face, which is labelled
neutral with intensity 0, so has a little of the valence and arousal of the expression that is mixed into it.
"""

from __future__ import annotations

from collections.abc import Mapping

from mien.expression.circumplex import COORDINATES


def valence_arousal(shares: Mapping[str, float], intensity: float) -> tuple[float, float]:
    """Valence and arousal, −1 to 1, of a mixture of expressions.

    Args:
        shares: expression → share, each times its own intensity where they differ; what they lack of a sum of 1 is
            relaxed.
        intensity: 0 (relaxed) to 1.
    """
    valence = sum(share * COORDINATES[name][0] for name, share in shares.items())
    arousal = sum(share * COORDINATES[name][1] for name, share in shares.items())
    return intensity * valence, intensity * arousal
