"""The command `mien`."""

from __future__ import annotations

import sys
from importlib.metadata import version

import cyclopts

from mien.commands.bench import bench
from mien.commands.engine import engine
from mien.commands.models import app as models
from mien.commands.people import app as people
from mien.commands.read import read
from mien.errors import MienError

app = cyclopts.App(
    name="mien", version=version("mien"), help="Reads faces: expression, valence, arousal and satisfaction."
)
app.command(read)
app.command(models)
app.command(bench)
app.command(engine)
app.command(people)


def main() -> None:
    """Run the command line; what a user can mend is said in one line, without a traceback."""
    try:
        sys.exit(app())
    except MienError as error:
        sys.exit(f"mien: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
