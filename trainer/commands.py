"""The commands of `mien-train`: from a recipe to trained stages, their report, and why they answer what they answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
import msgspec

from mien.benchmark.machine import machine_facts
from trainer.data.commands import Json, Positive, print_json, progress

Precision = Literal["32", "bf16", "16"]


def run(
    recipe: str,
    *,
    data: str,
    size: Literal["smoke", "study"] = "smoke",
    out: Path | None = None,
    jobs: Positive = 1,
    seeds: Positive | None = None,
    precision: Precision = "32",
    without: Path | None = None,
    only: Annotated[list[str] | None, cyclopts.Parameter(consume_multiple=True, negative="")] = None,
    as_json: Json = False,
) -> None:
    """Train the stages of a recipe, test them, and write the report; given again, it goes on where it stopped.

    Args:
        recipe: name of a built-in recipe (`mien-train recipes` lists them), or a yaml file of your own.
        data: folder that holds the data sets, each in a folder of its name; or `rendered`: rendered faces stand in.
        size: smoke takes minutes, study may take hours.
        out: folder for everything; by default out/RECIPE-DATA-SIZE.
        jobs: processes that train stages side by side and share the cores. Figures are the same to the last digit only
            with as many threads in each, hence with the same number here.
        seeds: repetitions; by default as the recipe has it.
        precision: of the arithmetic: 32, or mixed with bf16 or 16 bits.
        without: suspects.json of a report: leave those pictures out of the training.
        only: stages that are wanted, with what they start from; by default all.
        as_json: print the result as JSON instead of tables.
    """
    with _stopped_by_ctrl_c():
        from trainer.show import run_progress, show_result
        from trainer.stages.run import Options, run_recipe

        options = Options(
            recipe=recipe,
            data=data,
            size=size,
            out=out,
            workers=jobs,
            seeds=seeds,
            precision=precision,
            without=without,
            only=tuple(only or ()),
        )
        with run_progress() as shown:
            done = run_recipe(options, shown)
    if done is None:  # another process under torchrun tells
        return
    result, resolved, page = done
    if as_json:
        print_json(result)
    else:
        show_result(result, resolved)
        print(f"\nreport: {page}")


def personal(
    *,
    data: str,
    size: Literal["smoke", "study"] = "smoke",
    out: Path | None = None,
    jobs: Positive = 1,
    general: str = "personal_general",
    as_json: Json = False,
) -> None:
    """Measure what a person's own labels bring (paper 002), and write the report; given again, it goes on.

    Args:
        data: folder that holds affectnet and amigos; or `rendered`: rendered people stand in.
        size: smoke takes minutes, study about an hour on rendered people.
        out: folder for everything; by default out/personal-DATA-SIZE.
        jobs: processes that work side by side and share the cores.
        general: recipe of the general model, in a stage called general: a built-in one, or a yaml file; or folder of a
            trained network in its run, as out/default-rendered-study/seed0/whole_1: then only heads are trained.
        as_json: print the result as JSON instead of tables.
    """
    with _stopped_by_ctrl_c():
        from trainer.personal.run import Options, run_study
        from trainer.personal.show import show_study
        from trainer.show import run_progress

        options = Options(data=data, size=size, out=out, workers=jobs, general=general)
        with run_progress() as shown:
            result, page = run_study(options, shown)
    if as_json:
        print_json(result)
    else:
        show_study(result)
        print(f"\nreport: {page}")


def recipes(name: str | None = None, *, as_json: Json = False) -> None:
    """List the built-in recipes, or print one to be copied.

    Args:
        name: of the recipe whose yaml is printed; by default all are listed.
        as_json: print JSON instead of a table or yaml.
    """
    from trainer.show import show_recipes, summarise_recipe
    from trainer.stages.recipe_file import built_in_recipes, load_recipe, recipe_text

    if name is not None:
        text = recipe_text(name)
        if as_json:
            print_json(load_recipe(name))
        else:
            print(text, end="")
        return
    found = [summarise_recipe(load_recipe(one)) for one in built_in_recipes()]
    if as_json:
        print_json(found)
    else:
        show_recipes(found)


def architectures(*, as_json: Json = False) -> None:
    """List the networks that recipes may name, and what they cost: counted, and as their authors print it.

    Args:
        as_json: print JSON instead of a table.
    """
    from trainer.models.costs import costs
    from trainer.show import show_costs

    if as_json:
        print_json(costs())
    else:
        show_costs(costs())


def evaluate(checkpoint: Path, dataset: str, path: Path, *, as_json: Json = False) -> None:
    """Measure a trained network on a data set.

    Args:
        checkpoint: folder of a job, or its checkpoint.
        dataset: name of the data set, as for `data describe`.
        path: its folder, or the csv file.
        as_json: print JSON instead of tables.
    """
    from trainer.show import show_test
    from trainer.stages.answers import evaluate_checkpoint

    warnings: list[str] = []
    with progress("pictures") as tell:
        result = evaluate_checkpoint(checkpoint, dataset, path, tell, warnings.append)
    for warning in warnings:
        print(f"mien-train: warning: {warning}", file=sys.stderr)
    if as_json:
        print_json(result)
    else:
        show_test(result)


def report(folder: Path, *, pictures: bool = True) -> None:
    """Write the report of a run or of a personal study again, finished or not, from what is stored.

    Args:
        folder: that `run` or `personal` wrote into.
        pictures: show the most confident errors of a run with their pictures.
    """
    from trainer.personal.claim import holds_study

    if holds_study(folder):
        from trainer.personal.run import report_study
        from trainer.personal.show import show_study

        study, page = report_study(folder)
        show_study(study)
    else:
        from trainer.show import show_result
        from trainer.stages.run import report_run

        result, recipe, page = report_run(folder, has_pictures=pictures)
        show_result(result, recipe)
    print(f"\nreport: {page}")


def explain(
    image: Path,
    *,
    checkpoint: Annotated[list[Path] | None, cyclopts.Parameter(consume_multiple=True, negative="")] = None,
    bundle: Path | None = None,
    class_name: Annotated[str | None, cyclopts.Parameter(name="--class")] = None,
    out: Path | None = None,
    as_json: Json = False,
) -> None:
    """Draw why a model answers what it answers about a face: Grad-CAM over the face, beside all probabilities.

    Args:
        image: picture with a face; of several the largest is explained.
        checkpoint: folders of trained networks; several answer together, and each is shown.
        bundle: folder or .zip that was made with its feature map; without it and --checkpoint the default bundle.
        class_name: expression that is explained; by default the one that is answered.
        out: the .png file; by default out/explain/IMAGE-CLASS.png.
        as_json: print what was found as JSON instead of lines.
    """
    from trainer.explain.explain import explain_picture, which_face

    found = explain_picture(image, checkpoint or (), bundle, class_name, out)
    if as_json:
        print_json(found)
        return
    print(f"{found.picture}, {which_face(found.faces)}: {found.expression} {found.confidence:.1%}")
    for part in found.parts if len(found.parts) > 1 else ():
        print(f"  {part.name} alone: {part.expression} {part.confidence:.1%}")
    print(f"what speaks for {found.explained}: {found.file}")


def bench(*, as_json: Json = False) -> None:
    """Measure the speed of training beside a bare loop.

    Args:
        as_json: print JSON instead of a table.
    """
    from trainer.stages.benchmark import measure_speed

    speed = measure_speed()
    measured = {**machine_facts(), "torch": version("torch"), **msgspec.structs.asdict(speed)}
    if as_json:
        print_json(measured)
        return
    for name, value in measured.items():
        speeds = f"{value:.0f} pictures/s" if isinstance(value, float) else value
        print(f"{name}: {value:.3f}" if name == "share_of_bare" else f"{name}: {speeds}")


@contextmanager
def _stopped_by_ctrl_c() -> Iterator[None]:
    """Say in a line what becomes of the work; cyclopts would end without one."""
    try:
        yield
    except KeyboardInterrupt:
        print("mien-train: stopped; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
