"""The one error type that users see."""

from __future__ import annotations

import importlib
from types import ModuleType


class MienError(Exception):
    """Something a user can mend: a file, model, parameter or image that cannot be used.

    The text names the thing that is wrong; `remedy` says what to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}"


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or raise a MienError that names the extra to install.

    Heavy or optional libraries are imported where they are used, through this function, so that the robot library
    loads without them.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MienError(
            f"The Python module {module} cannot be imported ({error})",
            f"Install it with: pip install 'mien[{extra}]'",
        ) from error
