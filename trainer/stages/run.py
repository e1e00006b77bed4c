"""A recipe from its file to its report: what is run where, its jobs, and what they gave together.

out/cross_domain-rendered-smoke/
    run.json                    what is run here
    seed0/STAGE[/fold03]/       a job: its network (card.json), its answers (SOURCE.npz), job.json once it is done
    report.json                 all figures
    report.html, report.md      the same for people
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from mien.benchmark.machine import machine_facts
from mien.errors import MienError
from trainer.data.crops import Crops
from trainer.data.output import sole_writer
from trainer.data.sources import check_folders
from trainer.evaluate.predictions import short_name
from trainer.evaluate.report import PictureOf, write_report
from trainer.evaluate.suspects import SuspectList, read_suspects
from trainer.stages.claim import RENDERED, Claim, Precision, check_claim, read_claim, write_claim
from trainer.stages.fit import make_fabric, remove_state
from trainer.stages.gather import gather
from trainer.stages.job_result import JobResult, read_job
from trainer.stages.jobs import Job, Trained, plan_jobs, run_jobs, threads_of_each, with_starts
from trainer.stages.material import Material
from trainer.stages.recipe import Recipe
from trainer.stages.recipe_file import load_recipe, resolve
from trainer.stages.result import RecipeResult
from trainer.stages.train import train_job


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a command asks for.

    Attributes:
        recipe: name of a built-in one, or path of a yaml file.
        data: folder of the data sets, or `RENDERED`.
        size: smoke or study.
        out: folder of the run; None = out/RECIPE-DATA-SIZE.
        workers: processes that do jobs side by side.
        seeds: repetitions; None = as the recipe has it.
        precision: of the arithmetic.
        without: suspects.json; None = nothing is left out.
        only: stages that are wanted; empty = all.
    """

    recipe: str
    data: str
    size: Literal["smoke", "study"]
    out: Path | None = None
    workers: int = 1
    seeds: int | None = None
    precision: Precision = "32"
    without: Path | None = None
    only: tuple[str, ...] = ()


class Progress(Protocol):
    """Shows how far a run has come."""

    def prepared(self, done: int, total: int) -> None:
        """Pictures that are rendered or cut."""

    def dropped(self, pictures: Mapping[str, Sequence[int]]) -> None:
        """How many pictures the list of suspects takes from the training of each stage, seed by seed."""

    def planned(self, epochs: dict[Job, int], finished: int) -> None:
        """Jobs that are to be done, with their epochs at most; and how many were done before."""

    def told(self, job: Job, event: Trained | Literal["begins", "is done"], result: JobResult | None) -> None:
        """What became of a job; when it is done, the result of one that trained a stage."""


class Run:
    """A recipe in a folder: what its jobs need, made once in each process."""

    def __init__(self, claim: Claim, folder: Path) -> None:
        self.claim, self.folder = claim, folder

    @cached_property
    def material(self) -> Material:
        """Its data."""
        root = None if self.claim.root is None else Path(self.claim.root)
        return Material(self.claim.recipe, root, self.claim.side, self.claim.without)

    @cached_property
    def fabric(self) -> Fabric:
        """Its processes."""
        return make_fabric(self.claim.precision)

    def train(self, job: Job, tell: Callable[[Trained], None]) -> None:
        """Do a job."""
        train_job(job, self.claim.recipe, self.material, self.fabric, self.folder, tell)


def run_recipe(options: Options, progress: Progress) -> tuple[RecipeResult, Recipe, Path] | None:
    """Train and test the stages of a recipe that are not finished, and write the report.

    Under torchrun all processes do every job together, and only the first one writes.

    Returns:
        The result, the recipe as it was run, and the page of the report; None in all but the first process.

    Raises:
        MienError: recipe, data or folder cannot be used; a job failed. What is finished stays.
    """
    claim = make_claim(options)
    folder = options.out or Path("out") / f"{claim.recipe.name}-{claim.data}-{claim.size}"
    run = Run(claim, folder)
    if run.fabric.world_size > 1 and options.workers > 1:
        raise MienError("--jobs does not go with torchrun, whose processes do each job together", "Leave out --jobs")
    with sole_writer(folder) if run.fabric.is_global_zero else nullcontext():
        changed: list[Path] = []
        if run.fabric.is_global_zero:
            claim, changed = check_claim(folder, claim)
        run.fabric.barrier()  # the others touch nothing before
        wanted = with_starts(claim.recipe, options.only)
        folds, dropped = run.material.prepare(wanted, claim.seeds, progress.prepared)
        if options.without is not None:
            _check_dropped(options.without, dropped)
            if run.fabric.is_global_zero:
                progress.dropped(dropped)
        jobs = plan_jobs(claim.recipe, claim.seeds, folds, wanted)
        undone = [job for job in jobs if read_job(folder / job.place) is None]
        if run.fabric.is_global_zero:
            for own in changed:
                remove_state(own)
            way = [_way(options.workers, run.fabric.world_size)] if undone else []
            ways = tuple(dict.fromkeys([*claim.ways, *way]))
            write_claim(folder, msgspec.structs.replace(claim, folds={**claim.folds, **folds}, ways=ways))
        run.fabric.barrier()  # states that are removed must not be found
        epochs = {job: claim.recipe.stages[job.stage].epochs for job in undone}
        progress.planned(epochs, len(jobs) - len(undone))
        _do_jobs(run, undone, options.workers, progress)
        return report_run(folder, run) if run.fabric.is_global_zero else None


def report_run(folder: Path, run: Run | None = None, has_pictures: bool = True) -> tuple[RecipeResult, Recipe, Path]:
    """Write result and report of a run, finished or not, from what its finished jobs left.

    Args:
        folder: of the run.
        run: whose data are open already. For the pictures of the report nothing is rendered or cut: it shows those that
            are there.
        has_pictures: whether the report shows pictures of the data.

    Returns:
        The result, the recipe as it was run, and the page of the report.

    Raises:
        MienError: the folder holds no run, or no stage of it is finished.
    """
    claim = read_claim(folder)
    jobs = plan_jobs(claim.recipe, claim.seeds, claim.folds, claim.folds)
    result = gather(claim, jobs, folder)
    if not has_pictures:
        return result, claim.recipe, write_report(result, claim.recipe, folder)
    from trainer.explain.tested import TestedFaces  # with its library takes a second to load

    material = (run or Run(claim, folder)).material
    look = TestedFaces(material, claim, folder).look
    return result, claim.recipe, write_report(result, claim.recipe, folder, _pictures(material, claim), look)


def make_claim(options: Options) -> Claim:
    """What a command asks for, checked and with all that follows from recipe and machine.

    Raises:
        MienError: recipe, data or list of suspects cannot be used.
    """
    is_rendered = options.data == RENDERED
    root = Path(options.data).expanduser()
    if not is_rendered and not root.is_dir():
        raise MienError(
            f"{root} is no folder",
            f"Name the folder that holds the data sets, or let renders stand in: --data {RENDERED}",
        )
    recipe = load_recipe(options.recipe)
    resolved, size = resolve(recipe, options.size, is_rendered, options.recipe)
    wanted = [resolved.stages[name] for name in with_starts(resolved, options.only)]
    if not is_rendered:
        check_folders((source for stage in wanted for source in (stage.data, *stage.tests)), resolved.sources, root)
    facts = machine_facts()
    return Claim(
        recipe=resolved,
        size=options.size,
        data=_name_of(options.data),
        root=None if is_rendered else str(root.resolve()),
        side=size.side,
        precision=options.precision,
        without=read_suspects(options.without) if options.without else SuspectList({}),
        seeds=options.seeds or size.seeds,
        stands_in_for=recipe.architecture if resolved.architecture != recipe.architecture else None,
        command=_command(options),
        machine=f"{facts['CPU']}; at the start {facts['other load']}",
        versions={"Python": facts["Python"], **{name: version(name) for name in ("torch", "mien")}},
    )


def _name_of(data: str) -> str:
    """The root's name, without the folders of this machine; a root may be given as ".", which has none."""
    return RENDERED if data == RENDERED else Path(data).expanduser().resolve().name


def _command(options: Options) -> str:
    """That repeats it; without folders of this machine."""
    words = ["mien-train", "run", Path(options.recipe).name, "--data", _name_of(options.data), "--size", options.size]
    usual = Options(recipe="", data="", size="smoke")
    for key in ("seeds", "precision", "workers", "without"):
        value = getattr(options, key)
        if value != getattr(usual, key):
            words += [f"--{key}".replace("workers", "jobs"), str(Path(value).name if key == "without" else value)]
    return shlex.join([*words, *(["--only", *options.only] if options.only else [])])


def _check_dropped(suspects: Path, dropped: Mapping[str, Sequence[int]]) -> None:
    if not any(map(any, dropped.values())):
        raise MienError(
            f"{suspects} takes no picture from the training of {', '.join(dropped)}",
            "A report suspects pictures of test parts: name pictures that these stages are trained on, or leave out"
            " --without",
        )


def _way(workers: int, processes: int) -> str:
    """How jobs are done."""
    threads = torch.get_num_threads() if workers == 1 else threads_of_each(workers)
    each = f"{threads} thread{'s' if threads > 1 else ''}"
    if processes > 1:
        return f"jobs one by one, each by {processes} processes with {each}"
    return f"jobs one by one with {each}" if workers == 1 else f"{workers} jobs side by side with {each} each"


def _do_jobs(run: Run, undone: list[Job], workers: int, progress: Progress) -> None:
    def tell(job: Job, event: Trained | Literal["begins", "is done"]) -> None:
        if run.fabric.is_global_zero:
            progress.told(job, event, read_job(run.folder / job.place) if event == "is done" else None)

    # Other processes open their data themselves.
    run_jobs(undone, (run if workers == 1 else Run(run.claim, run.folder)).train, workers, tell)


def _pictures(material: Material, claim: Claim) -> PictureOf:
    """The crops of the sources that stages are tested on, by short name of the picture, as far as they are there."""
    stages, sources = claim.recipe.stages, claim.recipe.sources
    stage_of = {source: name for name in claim.folds for source in (stages[name].data, *stages[name].tests)}

    @cache
    def crops(source: str) -> dict[str, tuple[Crops, int]]:
        found: dict[str, tuple[Crops, int]] = {}
        for seed in range(claim.seeds if sources[source].samples else 1):
            with suppress(MienError):  # a report can be made where the data are not
                own = material.crops(stage_of[source], source, seed)
                found |= {short_name(sample.picture.name): (own, number) for number, sample in enumerate(own.dataset)}
        return found

    def picture(source: str, name: str) -> NDArray[np.uint8] | None:
        if (found := crops(source).get(short_name(name))) is None:
            return None
        own, number = found
        pixels = own.pixels(np.array([number]))[0]
        if own.spec.channels == "rgb":
            pixels = pixels[:, :, ::-1]
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))

    return picture
