"""Measures bundles side by side on labelled real faces, with the same crop for all: a look, not a way to choose.

    python tools/measure_expression.py MANIFEST fer=FOLDER default=FOLDER

The first bundle is what the others are compared with. Intervals are 95 %, from drawing people anew (bootstrap). The
figures replace those below the heading "Real faces" of docs/results/default-model.md; what stands above is kept. Every
look at real faces belongs into that page's log: a model that is changed after it has been looked at is chosen by it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.benchmark.machine import machine_facts
from mien.benchmark.results import Times, summarise
from mien.bundle import Bundle, open_bundle
from mien.errors import MienError
from mien.expression.recogniser import Recogniser
from mien.runtime.backend import BackendOptions
from trainer.evaluate.evaluation import cut_faces
from trainer.evaluate.faces import LabelledFace, read_face_manifest
from trainer.evaluate.intervals import Sums, bootstrap
from trainer.evaluate.predictions import NEGATIVE

Floats = NDArray[np.float64]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "results" / "default-model.md"
HEADING = "## Real faces"
FEWEST_FACES, FEWEST_PEOPLE = 6, 3
"""Of a class that counts in means over classes; others are listed."""
ROUNDS = 400


class Answers(NamedTuple):
    """What one bundle says of N faces.

    Attributes:
        name: given to it.
        said: str (N,), the likeliest expression.
        same: share of faces of which another precision says the same as fp32, and its accuracy, by precision.
        ms: one face on one thread, from the crop to probabilities.
    """

    name: str
    said: NDArray[np.str_]
    same: dict[str, tuple[float, float]]
    ms: Times


def main() -> None:
    """Measure, print, and write the figures into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("bundles", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--save", type=Path, default=PAGE)
    wanted = parser.parse_args()
    try:
        named = dict(_pair(word) for word in wanted.bundles)
        if len(named) < len(wanted.bundles) or not wanted.save.parent.is_dir():
            raise MienError("Two bundles have one name, or the page's folder is not there", "Give other ones")
        page = measure(wanted.manifest, {name: open_bundle(Path(path)) for name, path in named.items()})
    except MienError as error:
        raise SystemExit(str(error)) from error
    print(page)
    above = wanted.save.read_text().partition(HEADING)[0] if wanted.save.exists() else ""
    wanted.save.write_text(above + page)


def _pair(word: str) -> tuple[str, str]:
    name, separator, path = word.partition("=")
    if not separator:
        raise MienError(f"{word} names no bundle", "Give NAME=PATH")
    return name, path


def measure(manifest: Path, bundles: Mapping[str, Bundle]) -> str:
    """The page's part on real faces.

    Raises:
        MienError: the manifest or a bundle cannot be used, or the bundles cut faces differently.
    """
    first = next(iter(bundles.values()))
    for bundle in bundles.values():
        ours, theirs = first.manifest.backbone, bundle.manifest.backbone
        if "fp32" not in theirs.files:
            raise MienError(f"{bundle.path} has no fp32 to compare with", "Name a bundle that has it")
        if ours.crop != theirs.crop:
            raise MienError(f"{bundle.path} cuts faces otherwise than {first.path}", "Name bundles that agree")
    described = read_face_manifest(manifest)
    batches = {}
    for name, bundle in bundles.items():  # the same faces, each as its network wants it
        faces, batches[name], left_out = cut_faces(Recogniser(bundle, BackendOptions()), described)
    if not faces:
        raise MienError(f"{manifest}: none of its faces can be had", "; ".join(sorted({why for _, why in left_out})))
    times = _times(bundles, batches)
    answers = [_answer(name, bundle, batches[name], faces, times[name]) for name, bundle in bundles.items()]
    return _page(faces, len(left_out), answers, manifest)


def _times(bundles: Mapping[str, Bundle], batches: Mapping[str, NDArray[np.float32]]) -> dict[str, Times]:
    """One face on one thread; the bundles take turns."""
    recognisers = {name: Recogniser(bundle, BackendOptions(threads=1)) for name, bundle in bundles.items()}
    series: dict[str, list[float]] = {name: [] for name in bundles}
    for _ in range(ROUNDS):
        for name, recogniser in recognisers.items():
            started = time.perf_counter()
            recogniser.classify(batches[name][:1])
            series[name].append((time.perf_counter() - started) * 1e3)
    return {name: summarise(found[10:]) for name, found in series.items()}


def _answer(name: str, bundle: Bundle, batch: NDArray[np.float32], faces: Sequence[LabelledFace], ms: Times) -> Answers:
    labels, truth = np.array(bundle.manifest.labels), np.array([face.label for face in faces])
    said = {
        precision: labels[
            Recogniser(bundle, BackendOptions(precision=precision)).classify(batch).probabilities.argmax(axis=1)
        ]
        for precision in bundle.manifest.backbone.files
    }
    same: dict[str, tuple[float, float]] = {
        precision: (float((one == said["fp32"]).mean()), float((one == truth).mean()))
        for precision, one in said.items()
    }
    return Answers(name, said["fp32"], same, ms)


def _page(faces: Sequence[LabelledFace], left_out: int, answers: Sequence[Answers], manifest: Path) -> str:
    truth = np.array([face.label for face in faces])
    people, person = np.unique([face.person for face in faces], return_inverse=True)
    labels = {
        str(label): (int((truth == label).sum()), len(set(person[truth == label].tolist())))
        for label in np.unique(truth)
    }
    counted = [name for name, (of, by) in labels.items() if of >= FEWEST_FACES and by >= FEWEST_PEOPLE]
    facts = machine_facts()
    head = [
        HEADING,
        f"`{manifest.name}`, the development set of {len(faces)} real faces of {len(people)} people"
        + (f" ({left_out} more could not be had)" if left_out else "")
        + f"; the same crops for all. {facts['CPU']}; {facts['other load']}; ONNX Runtime {facts['ONNX Runtime']}, one "
        "thread. Intervals: 95 %, people drawn anew.",
    ]
    rows = [_row(one, answers[0], truth, person, len(people), counted) for one in answers]
    columns = ["model", "accuracy", "mean over people", f"than {answers[0].name}: accuracy", "mean over people"]
    columns += [f"recall, mean of {', '.join(counted)}", "neutral called negative", "ms for a face, median / p99"]
    recalls = [
        [label + ("" if label in counted else " (too few, listed only)"), str(of), str(by)]
        + [f"{(one.said == label)[truth == label].sum()}" for one in answers]
        for label, (of, by) in labels.items()
    ]
    precisions = [
        [one.name, precision, f"{accuracy:.3f}", f"{same:.3f}"]
        for one in answers
        for precision, (same, accuracy) in one.same.items()
    ]
    known = [
        [one.name, *(str(int((one.said == label).sum())) for label in sorted({*labels, *NEGATIVE}))] for one in answers
    ]
    return (
        "\n\n".join(
            [
                *head,
                _table(columns, rows),
                "Faces of each expression that were read as such:",
                _table(["expression", "faces", "people", *(one.name for one in answers)], recalls),
                "How often each expression was said:",
                _table(["model", *sorted({*labels, *NEGATIVE})], known),
                "Precisions:",
                _table(["model", "precision", "accuracy", "same answer as fp32"], precisions),
            ]
        )
        + "\n"
    )


def _row(
    one: Answers, first: Answers, truth: NDArray[np.str_], person: NDArray[np.intp], people: int, counted: Sequence[str]
) -> list[str]:
    right, others = (one.said == truth).astype(float), (first.said == truth).astype(float)

    def by_person(values: Floats) -> Floats:
        return np.bincount(person, values, people).astype(np.float64)[:, None]

    faces = by_person(np.ones(len(truth)))
    sums = {
        "faces": faces,
        "people": np.ones_like(faces),
        **{f"{name} sum": by_person(values) for name, values in (("own", right), ("more", right - others))},
        **{f"{name} mean": by_person(values) / faces for name, values in (("own", right), ("more", right - others))},
    }

    def figures(of: Sums) -> dict[str, Floats]:
        found = {name: of[name][:, 0] / of["faces"][:, 0] for name in ("own sum", "more sum")}
        return found | {name: of[name][:, 0] / of["people"][:, 0] for name in ("own mean", "more mean")}

    value = {
        name: float(found[0]) for name, found in figures({n: v.sum(axis=0)[None] for n, v in sums.items()}).items()
    }
    bounds = bootstrap(sums, figures, seed=0)
    cells = [
        f"{value[name]:{sign}.3f} ({bounds[name][0]:{sign}.3f} to {bounds[name][1]:{sign}.3f})"
        for name, sign in (("own sum", ""), ("own mean", ""), ("more sum", "+"), ("more mean", "+"))
    ]
    if one is first:
        cells[2:] = ["", ""]
    recall = np.mean([right[truth == label].mean() for label in counted])
    negative = np.isin(one.said[truth == "neutral"], NEGATIVE).mean()
    return [one.name, *cells, f"{recall:.3f}", f"{negative:.3f}", f"{one.ms.median:.2f} / {one.ms.p99:.2f}"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    main()
