"""The command `mien-export`, or python -m export."""

from __future__ import annotations

import sys
from importlib.metadata import version

import cyclopts

from export import commands
from mien.commands.engine import engine
from mien.errors import MienError

app = cyclopts.App(
    name="mien-export", version=version("mien"), help="Make bundles of what was trained, and check them."
)
app.command(commands.bundle)
app.command(commands.verify)
app.command(engine)


def main() -> None:
    """Run the command line; what a user can mend is said in one line, without a traceback."""
    try:
        sys.exit(app(sys.argv[1:]))
    except MienError as error:
        sys.exit(f"mien-export: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
