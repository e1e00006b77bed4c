"""Writes the report of a run."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import jinja2
import msgspec

from mien.errors import MienError
from trainer.data.output import output_errors, whole_file
from trainer.evaluate.report.gallery import Answers, PictureOf
from trainer.evaluate.report.looks import LookOf
from trainer.evaluate.report.page import page_content
from trainer.evaluate.suspects import write_suspects
from trainer.stages.recipe import Recipe
from trainer.stages.result import RecipeResult


def write_report(
    result: RecipeResult,
    recipe: Recipe,
    folder: Path,
    picture: PictureOf | None = None,
    look: LookOf | None = None,
) -> Path:
    """Write report.html (self-contained), report.json and report.md into the run's folder.

    Beside them goes suspects.json, the test pictures whose labels are suspected; without any, none is left there.

    Args:
        result: what the run gave.
        recipe: as it was run, with the changes of its size.
        folder: of the run; the predictions that `result` names are read from it where they are there.
        picture: gives the pixels of a picture for the gallery of errors; None leaves them out.
        look: gives what a network saw of a picture and why it answered; None leaves the sheets of it out.

    Returns:
        The path of report.html.

    Raises:
        MienError: the folder cannot be written, or the recipe is not that of the result.
    """
    if recipe.name != result.recipe:
        raise MienError(
            f"{folder}: the result is one of the recipe {result.recipe}, not of {recipe.name}", "Give that recipe"
        )
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    answers = Answers(result.stages, folder)
    content = page_content(result, recipe, answers, picture, look)
    templates = report_templates()
    _write(folder / "report.json", msgspec.json.format(msgspec.json.encode(result)))
    _write(folder / "report.md", templates.get_template("summary.md.j2").render(content).encode())
    suspects = folder / "suspects.json"
    if any(answers.suspected.values()):
        write_suspects(suspects, {data: sorted(names) for data, names in answers.suspected.items()})
    else:
        suspects.unlink(missing_ok=True)
    page = folder / "report.html"
    _write(page, templates.get_template("page.html.j2").render(content).encode())
    return page


def report_templates(package: str = __package__) -> jinja2.Environment:
    """Templates of a package, and those of this one where it has none of that name."""

    def template(name: str) -> str | None:
        files = (resources.files(one).joinpath(name) for one in (package, __package__))
        return next((file.read_text(encoding="utf-8") for file in files if file.is_file()), None)

    templates = jinja2.Environment(
        loader=jinja2.FunctionLoader(template),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["cell"] = _markdown
    return templates


def _markdown(text: object) -> str:
    """Text for a cell of a Markdown table: it stays in its cell and holds no HTML, links or emphasis."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;")
    for mark in "\\|*`[]":
        escaped = escaped.replace(mark, f"\\{mark}")
    return " ".join(escaped.split())


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)
