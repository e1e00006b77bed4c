"""Problems that stand in the log already."""

from __future__ import annotations

from collections.abc import Sequence


class ToldProblems:
    """Says which problems are new: each is so once, until there is none at all."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def new(self, problems: Sequence[str]) -> list[str]:
        """Those of the present problems that nobody was told of, in their order."""
        new = [one for one in dict.fromkeys(problems) if one not in self._told]
        self._told = self._told | set(problems) if problems else set()
        return new
