"""The study from its settings to its report.

out/personal-rendered-smoke/
    study.json                      what is run here
    general/                        the run of the general model's recipe (`trainer.stages.run`); none for a checkpoint
    seed0/statistics.safetensors    of what the general model was trained on
    seed0/PERSON/SHIFT.safetensors  embeddings of a person's pictures
    seed0/PERSON-learning/          a job: measured.json once it is done
    seed0/PERSON-no_transfer/       likewise; none for a checkpoint
    report.json, report.html, report.md
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec
from lightning_fabric import Fabric

from mien.benchmark.machine import machine_facts
from mien.errors import MienError
from trainer.data.output import sole_writer
from trainer.data.sample import Tell
from trainer.personal import learning, no_transfer
from trainer.personal.claim import Claim, check_claim, read_claim, write_claim
from trainer.personal.general import FOLDER, STAGE, General, choose_general, open_general
from trainer.personal.measured import Measured, read_measured, write_measured
from trainer.personal.people import OWN_SHIFT, People, Person, embed
from trainer.personal.report import write_report
from trainer.personal.results import StudyResult, gather
from trainer.personal.settings import SIZES, Settings, Size, check
from trainer.stages.checkpoint import load_card
from trainer.stages.claim import RENDERED
from trainer.stages.fit import make_fabric
from trainer.stages.jobs import Job, Trained, run_jobs
from trainer.stages.run import Options as RecipeOptions
from trainer.stages.run import Progress, run_recipe

NAME = "personal"
_LEARNING, _NO_TRANSFER = "learning", "no_transfer"
_STEPS = 400.0
"""About as many measurements as a job of learning makes; for the progress."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a command asks for.

    Attributes:
        data: folder of the data sets, or `RENDERED`.
        size: smoke or study.
        out: folder of the study; None = out/personal-DATA-SIZE.
        workers: processes that do jobs side by side.
        general: recipe whose stage `general` is the general model: name of a built-in one, or path of a yaml file; or
            folder of a checkpoint in its run, which is the general model of all repetitions. With a checkpoint nothing
            but heads is trained: not "no transfer" either, which depends on its architecture only.
        settings: None = those of the size.
    """

    data: str
    size: Size
    out: Path | None = None
    workers: int = 1
    general: str = "personal_general"
    settings: Settings | None = None


class Study:
    """A study in a folder: what its jobs need, made once in each process."""

    def __init__(self, claim: Claim, folder: Path) -> None:
        self.claim, self.folder = claim, folder

    @property
    def people(self) -> People:
        """Where their pictures come from."""
        own = self.claim.settings
        root = None if self.claim.root is None else Path(self.claim.root)
        return People(root, own.frames, own.side, own.first_person, own.people)

    def shifts(self) -> tuple[float, ...]:
        """Of the people: a real one is as it is."""
        return self.claim.settings.shifts if self.claim.root is None else (OWN_SHIFT,)

    def general_folder(self, seed: int) -> Path:
        """Of the general model of a repetition."""
        return Path(self.claim.checkpoint or self.folder / FOLDER / f"seed{seed}" / STAGE)

    def general(self, seed: int, fabric: Fabric, tell: Tell = lambda _done, _total: None) -> General:
        """The general model of a repetition."""
        file = self.folder / ("" if self.claim.checkpoint else f"seed{seed}") / "statistics.safetensors"
        return open_general(self.general_folder(seed), file, fabric, tell)

    def jobs(self) -> list[Job]:
        """All of them, seed by seed: of each person what is learned from labels, and what from nothing."""
        own = self.claim.settings
        from_nothing = 0 if self.claim.checkpoint else min(own.seeds, own.seeds_without_transfer)
        seeds = {_LEARNING: own.seeds, _NO_TRANSFER: from_nothing}
        return [
            Job(NAME, f"{person}-{kind}", seed)
            for seed in range(own.seeds)
            for kind in seeds
            if seed < seeds[kind]
            for person in self.claim.people
        ]

    def work(self, job: Job, tell: Callable[[Trained], None]) -> None:
        """Do a job."""
        fabric = make_fabric()
        person, _, kind = job.stage.rpartition("-")
        own = self.folder / job.place
        own.mkdir(parents=True, exist_ok=True)
        rows = (self._learn if kind == _LEARNING else self._train)(person, job.seed, fabric, own, tell)
        write_measured(own, rows)

    def _learn(
        self, person: str, seed: int, fabric: Fabric, _own: Path, tell: Callable[[Trained], None]
    ) -> list[Measured]:
        general = self.general(seed, fabric)
        by_shift = {}
        for shift in self.shifts():
            file = self.folder / f"seed{seed}" / person / f"{shift:g}.safetensors"
            examples = self.people.examples(Person(person, shift), general.card)
            by_shift[shift] = embed(general.network, examples, fabric, file)
        number = self.claim.people.index(person)
        subject = learning.Subject(general.base, by_shift, self.claim.settings, seed, number)
        rows = []
        for row in learning.experiments(subject):
            rows.append(row)
            tell(min(len(rows) / _STEPS, 0.99))
        return rows

    def _train(
        self, person: str, seed: int, fabric: Fabric, own: Path, tell: Callable[[Trained], None]
    ) -> list[Measured]:
        card = load_card(self.general_folder(seed))
        examples = self.people.examples(Person(person, OWN_SHIFT), card)
        done = iter(range(1, 10**6))
        total = 2 * self.claim.settings.folds
        settings = self.claim.settings
        return no_transfer.experiments(card, examples, settings, seed, fabric, own, lambda: tell(next(done) / total))


def run_study(options: Options, progress: Progress) -> tuple[StudyResult, Path]:
    """Do what is not finished of the study, and write its report.

    Returns:
        The result, and the page of the report.

    Raises:
        MienError: data, recipe or folder cannot be used, or a job failed. What is finished stays.
    """
    claim = _claim(options)
    folder = options.out or Path("out") / f"{NAME}-{claim.data}-{claim.size}"
    with sole_writer(folder):
        claim = check_claim(folder, claim)
        study = Study(claim, folder)
        claim = msgspec.structs.replace(claim, people=study.people.names())
        write_claim(folder, claim)
        study = Study(claim, folder)
        if claim.checkpoint is None:
            _train_general(options, folder, claim.settings.seeds, progress)
        fabric = make_fabric()
        seeds = range(claim.settings.seeds)  # here, as two jobs at once would write the same statistics
        cards = [study.general(seed, fabric, progress.prepared).card for seed in seeds]
        for person in claim.people:
            for shift in study.shifts():
                study.people.examples(Person(person, shift), cards[0], progress.prepared)
        jobs = study.jobs()
        undone = [job for job in jobs if read_measured(folder / job.place) is None]
        progress.planned(dict.fromkeys(undone, 1), len(jobs) - len(undone))
        fresh = study if options.workers == 1 else Study(claim, folder)
        run_jobs(undone, fresh.work, options.workers, lambda job, event: progress.told(job, event, None))
        return report_study(folder)


def _train_general(options: Options, folder: Path, seeds: int, progress: Progress) -> None:
    recipe = RecipeOptions(
        recipe=options.general,
        data=options.data,
        size=options.size,
        out=folder / FOLDER,
        workers=options.workers,
        seeds=seeds,
    )
    run_recipe(recipe, progress)


def report_study(folder: Path) -> tuple[StudyResult, Path]:
    """Write result and report of a study, finished or not, from what its finished jobs left.

    Raises:
        MienError: the folder holds no study, or no job of it is finished.
    """
    claim = read_claim(folder)
    found = {
        (job.stage.rpartition("-")[0], job.seed, job.stage.rpartition("-")[2]): rows
        for job in Study(claim, folder).jobs()
        if (rows := read_measured(folder / job.place)) is not None
    }
    if not found:
        raise MienError(f"{folder}: no job of the study is finished", "Give the same command again")
    result = gather(
        found,
        claim.settings,
        learners=claim.learners,
        size=claim.size,
        data=claim.data,
        general=_general_words(claim),
        command=claim.command,
        machine=claim.machine,
        versions=claim.versions,
    )
    return result, write_report(result, folder)


def _general_words(claim: Claim) -> str:
    if claim.checkpoint is None:
        return f"recipe {claim.general}, trained anew for each seed"
    whose = f"checkpoint {claim.general} ({claim.checkpoint_sha256[:12]})"
    return f"{whose}, the same for all seeds; “no transfer” is left out"


def _claim(options: Options) -> Claim:
    is_rendered = options.data == RENDERED
    root = Path(options.data).expanduser()
    if not is_rendered and not root.is_dir():
        raise MienError(
            f"{root} is no folder",
            f"Name the folder that holds affectnet and amigos, or let renders stand in: --data {RENDERED}",
        )
    settings = options.settings or SIZES[options.size]["rendered" if is_rendered else "real"]
    check(settings)
    facts = machine_facts()
    data = RENDERED if is_rendered else root.resolve().name
    general = choose_general(options.general)
    words = ["mien-train", NAME, "--data", data, "--size", options.size]
    words += ["--general", general.name] if options.general != Options(data="", size="smoke").general else []
    words += ["--jobs", str(options.workers)] if options.workers > 1 else []
    return Claim(
        settings=settings,
        size=options.size,
        data=data,
        root=None if is_rendered else str(root.resolve()),
        general=general.name,
        checkpoint=general.checkpoint,
        checkpoint_sha256=general.sha256,
        learners={name: {key: float(value) for key, value in vars(one).items()} for name, one in learning.WAYS.items()},
        command=shlex.join(words),
        machine=f"{facts['CPU']}; at the start {facts['other load']}",
        versions={"Python": facts["Python"], **{name: version(name) for name in ("torch", "mien")}},
    )
