"""Jobs: each trains one stage with one seed on one fold. What starts from another job's network comes after it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from mien.errors import MienError
from trainer.data.deaf import deaf_children
from trainer.stages.recipe import Recipe
from trainer.stages.result import Epoch

AGAIN = "Give the same command again: it goes on where it stopped"

Trained = Epoch | float
"""What is told of a training: an epoch that is finished, or the share of one that is done, 0 to 1."""

TellJob = Callable[["Job", Trained | Literal["begins", "is done"]], None]
"""Told what becomes of each job: it begins, has trained, is done."""

Work = Callable[["Job", Callable[[Trained], None]], None]
"""Does a job and tells of its training; what it gives stays in the job's folder. Must pass between processes."""


@dataclass(frozen=True)
class Job:
    """One stage with one seed on one fold.

    Attributes:
        recipe: its name.
        stage: name in the recipe.
        seed: number of the repetition.
        fold: number; None where the source has no folds.
        start: job whose network it starts from; None where that is no stage.
    """

    recipe: str
    stage: str
    seed: int
    fold: int | None = None
    start: Job | None = None

    @property
    def place(self) -> Path:
        """Its folder within the run's folder."""
        folder = Path(f"seed{self.seed}", self.stage)
        return folder if self.fold is None else folder / f"fold{self.fold:02d}"

    def __str__(self) -> str:
        return f"{self.recipe}, stage {self.stage}, seed {self.seed}" + (
            "" if self.fold is None else f", fold {self.fold}"
        )


def plan_jobs(recipe: Recipe, seeds: int, folds: Mapping[str, int | None], only: Iterable[str] = ()) -> list[Job]:
    """All jobs of a recipe, each after the one it starts from.

    Args:
        recipe: as it is run.
        seeds: number of repetitions.
        folds: of each stage's source; None where it has none.
        only: stages that are wanted, with what they start from; empty = all.

    Raises:
        MienError: there is no such stage, or a stage cannot tell which fold of another one to start from.
    """
    wanted = with_starts(recipe, only)
    jobs: dict[tuple[str, int, int | None], Job] = {}
    for seed in range(seeds):
        for name, stage in recipe.stages.items():
            if name not in wanted:
                continue
            count = folds[name]
            for fold in [None] if count is None else range(count):
                start = None
                if stage.start in recipe.stages:
                    start = jobs.get((stage.start, seed, fold)) or jobs.get((stage.start, seed, None))
                    if start is None or folds[stage.start] not in (None, count):
                        raise MienError(
                            f"{recipe.name}: the stage {name} starts from {stage.start}, which is trained on"
                            f" {folds[stage.start]} folds, not as many as itself ({count or 1})",
                            "Start it from a stage without folds, or with the same folds",
                        )
                jobs[name, seed, fold] = Job(recipe.name, name, seed, fold, start)
    return list(jobs.values())


def with_starts(recipe: Recipe, only: Iterable[str]) -> list[str]:
    """Some stages or members of ensembles (all, where none is named) with those that they start from.

    Returns:
        In the order of the recipe.

    Raises:
        MienError: there is no such stage.
    """
    wanted: set[str] = set()
    for name in (member for one in only or recipe.stages for member in recipe.members(one)):
        if name not in recipe.stages:
            raise MienError(f"{recipe.name} has no stage {name}", f"Its stages are {', '.join(recipe.stages)}")
        while name in recipe.stages:
            wanted.add(name)
            name = recipe.stages[name].start
    return [name for name in recipe.stages if name in wanted]


def run_jobs(jobs: list[Job], work: Work, workers: int, tell: TellJob) -> None:
    """Do the jobs, in this process or in several; a job begins when the one it starts from is done.

    Args:
        jobs: those that are still to be done, each after the one it starts from.
        work: does one.
        workers: processes, which share the cores; 1 = this process does all. Each has as many threads whether all of
            them have work or not, because figures are the same to the last digit only with as many threads.
        tell: of what is done.

    Raises:
        MienError: a job failed, or its process was killed; the job is named. The others are ended; they go on from
            their last stored state when they are given again.
    """
    if workers == 1:
        for job in jobs:
            tell(job, "begins")
            with _named(job):
                work(job, partial(tell, job))
            tell(job, "is done")
    else:
        _Pool(work, min(workers, len(jobs)), threads_of_each(workers), tell).run(jobs)


def threads_of_each(workers: int) -> int:
    """How many threads each of some processes has, which share the cores."""
    return max(1, (os.cpu_count() or 1) // workers)


class _Pool:
    """Processes that do one job at a time."""

    def __init__(self, work: Work, workers: int, threads: int, tell: TellJob) -> None:
        self._work, self._workers, self._threads, self._tell = work, workers, threads, tell
        self._running: dict[Connection, Job] = {}

    def run(self, jobs: list[Job]) -> None:
        waiting = list(jobs)
        with self._processes() as idle:
            while waiting or self._running:
                undone = {*waiting, *self._running.values()}
                ready = [job for job in waiting if job.start not in undone]
                for job in ready[: len(idle)]:
                    waiting.remove(job)
                    self._begin(idle.pop(), job)
                for pipe in wait(list(self._running)):
                    if self._is_done(pipe):  # type: ignore[arg-type]
                        idle.append(pipe)  # type: ignore[arg-type]

    @contextmanager
    def _processes(self) -> Iterator[list[Connection]]:
        """Pipes to as many processes as there are to be; whatever happens, they end with this one."""
        context = multiprocessing.get_context("spawn")  # not fork: threads do not survive it
        processes, pipes = [], []
        try:
            for _ in range(self._workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, self._work, self._threads))
                with deaf_children():
                    process.start()
                theirs.close()
                processes.append(process)
                pipes.append(ours)
            yield list(pipes)
        finally:
            for process in processes:
                process.kill()  # all that matters is stored, in one step each
            for process in processes:
                process.join()
            for pipe in pipes:
                pipe.close()

    def _begin(self, pipe: Connection, job: Job) -> None:
        self._running[pipe] = job
        self._tell(job, "begins")
        try:
            pipe.send(job)
        except OSError as error:
            raise _killed(job) from error

    def _is_done(self, pipe: Connection) -> bool:
        """Take one message of a process."""
        job = self._running[pipe]
        try:
            message: Any = pipe.recv()
        except (EOFError, OSError) as error:
            raise _killed(job) from error
        if isinstance(message, Epoch | float):
            self._tell(job, message)
            return False
        del self._running[pipe]
        if isinstance(message, tuple):
            raise MienError(*message)
        if message is not None:
            raise RuntimeError(message)
        self._tell(job, "is done")
        return True


def _serve(pipe: Connection, work: Work, threads: int) -> None:
    """What a worker process does: jobs from the pipe, epochs and then the outcome back."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import cv2
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)  # numpy's: more of them than cores wait for each other most of the time
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    while True:
        job: Job = pipe.recv()
        try:
            with _named(job):
                work(job, pipe.send)
            pipe.send(None)
        except MienError as error:
            pipe.send((error.problem, error.remedy))
        except RuntimeError:
            pipe.send(traceback.format_exc())


def _end_with_parent() -> None:
    """End this process when its parent is gone, however that happened: two must not write one job."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _named(job: Job) -> Iterator[None]:
    """Put the job's name into the text of whatever goes wrong in it."""
    try:
        yield
    except MienError as error:
        raise MienError(f"{job}: {error.problem}", error.remedy) from error
    except Exception as error:
        raise RuntimeError(f"{job}: {error}") from error


def _killed(job: Job) -> MienError:
    return MienError(
        f"{job}: its process was killed, perhaps for want of memory", f"{AGAIN}, with fewer --jobs perhaps"
    )
