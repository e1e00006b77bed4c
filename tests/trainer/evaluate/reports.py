"""Runs with their predictions, and their reports as a reader finds them."""

from __future__ import annotations

import html.parser
from pathlib import Path

import msgspec
import numpy as np

from mien.bundle import CropSpec
from trainer.evaluate.predictions import Predictions, Training, test_result
from trainer.evaluate.report import write_report
from trainer.evaluate.trends import judge
from trainer.stages.recipe import Arm, Recipe, Row, Source, Split, Stage, Table, Trend
from trainer.stages.result import Epoch, RecipeResult, StageResult, TestResult

for _kind in (test_result, TestResult):
    _kind.__test__ = False  # type: ignore[attr-defined]  # pytest must not take them for tests

LABELS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
HOSTILE = 'a<b>&"c|d"'
"""Part of names, which must come out as text."""


def predictions(rng: np.random.Generator, pictures: int, skill: float, affect: bool = False) -> Predictions:
    """Answers with some skill, and some labels that are plainly wrong."""
    truth = rng.integers(len(LABELS), size=pictures)
    logits = rng.normal(size=(pictures, len(LABELS)))
    logits[np.arange(pictures), truth] += skill
    probabilities = np.exp(1.5 * logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    truth[:4] = (probabilities[:4].argmax(axis=1) + 1) % len(LABELS)
    probabilities[:4] = 0.001
    probabilities[np.arange(4), (truth[:4] - 1) % len(LABELS)] = 0.993
    values = rng.uniform(-1, 1, (2, pictures)).astype(np.float32)
    guesses = (0.6 * values + rng.normal(0, 0.3, values.shape)).astype(np.float32)
    return Predictions(
        LABELS,
        truth,
        probabilities.astype(np.float32),
        *((values[0], guesses[0], values[1], guesses[1]) if affect else (None, None, None, None)),
        people=np.array([f"person {number % 60}" for number in range(pictures)]),
        names=np.array([f"{HOSTILE}/{number:05d}.png" for number in range(pictures)]),
        fold=np.arange(pictures) % 2,
    )


def epochs(rng: np.random.Generator, count: int, validated: bool) -> list[Epoch]:
    return [
        Epoch(
            number,
            2.0 * 0.9**number + 0.05 * rng.random(),
            0.9 - 0.7 * 0.9**number,
            0.8 - 0.6 * 0.9**number + 0.03 * rng.random() if validated else None,
            0.01,
            5000,
            12.0 + rng.random(),
        )
        for number in range(1, count + 1)
    ]


def make_recipe(stages: int = 3) -> Recipe:
    names = ["identity", "expression", "new_person", *(f"more_{number}" for number in range(3, stages))][:stages]
    sources = {
        "frames": Source("affectnet", "wild"),
        "people": Source("ck_plus", "lab_a:6-small", split=Split("folds", by_person=True, folds=2)),
    }
    return Recipe(
        name="cross_domain",
        title=f"Cross-domain transfer {HOSTILE}",
        paper="000",
        architecture="resnet50",
        sources=sources,
        stages={
            name: Stage(
                start="nothing" if number == 0 else names[number - 1],
                data="people" if name == "new_person" else "frames",
                crop=CropSpec("box", 0.2),
                target="affect" if name == "new_person" else "expression",
            )
            for number, name in enumerate(names)
        },
        tables=(
            Table(
                title="Table III. Performance when tested on AffectNet",
                metrics=("training_accuracy", "accuracy", "macro_f1", "chain_images_seen", "valence_rmse"),
                rows=(
                    Row(
                        "Model 5, published split",
                        "expression",
                        published={"macro_f1": 0.60, "training_accuracy": 0.8734},
                    ),
                    Row("Model 5, new people", "new_person", gap_to="Model 5, published split"),
                    Row(f"Never run {HOSTILE}", "left_out", published={"macro_f1": 0.57}),
                ),
                cite="paper 000, Table III",
                note="Training accuracy is what the paper prints.",
            ),
        ),
        trends=(
            Trend(
                claim=f"Staged is better than scratch {HOSTILE}",
                cite="000, Table III",
                first=Arm("expression"),
                second=Arm("identity"),
                metric="macro_f1",
                sign="+",
                published=0.03,
            ),
            Trend(
                claim="It is faster",
                cite="000, V",
                first=Arm("expression"),
                second=Arm("new_person"),
                metric="chain_seconds",
                sign="-",
            ),
        ),
    )


def make_result(
    recipe: Recipe, folder: Path, seeds: int, pictures: int = 600, epoch_count: int = 30, skill: float = 2.0
) -> RecipeResult:
    """A run of the recipe, with its predictions in the folder."""
    stages = []
    for number, (name, stage) in enumerate(recipe.stages.items()):
        for seed in range(seeds):
            rng = np.random.default_rng([number, seed])
            answers = predictions(rng, pictures, skill + 0.5 * number + 0.1 * seed, stage.target == "affect")
            file = f"seed{seed}/{name}/{stage.data}.npz"
            (folder / file).parent.mkdir(parents=True)
            answers.save(folder / file)
            tested = test_result(
                answers,
                [Training({"person 1"} if number == 1 else {"nobody"}, {"valence": 0.1, "arousal": 0.0})] * 2,
                source=stage.data,
                data=f"{stage.data} of {HOSTILE}",
                split="10 % of the pictures" if number == 1 else "nobody in both parts, 2 folds",
                left_out={"no face found": 12},
                file=file,
            )
            chain = 5000.0 * epoch_count * (number + 1)
            stages.append(
                StageResult(
                    stage=name,
                    seed=seed,
                    lineage=" → ".join(["IN", *("MC1M" for _ in range(number)), "AffectNet"]),
                    folds=2,
                    trained=0.25 * (1 + number % 4),
                    figures={
                        "training_accuracy": 0.85 + 0.01 * seed,
                        "images_seen": 5000.0 * epoch_count,
                        "chain_images_seen": chain,
                        "seconds": 372.0 + seed,
                        "chain_seconds": 372.0 * (number + 1) + seed,
                        "seconds_per_epoch": 12.4,
                        "epochs": float(epoch_count),
                    },
                    parts={
                        part: dict.fromkeys(LABELS, count)
                        for part, count in (("train", 15000), ("validation", 600), ("test", 500))
                    },
                    epochs=[epochs(rng, epoch_count - fold, number != 0) for fold in range(2)],
                    tests={stage.data: tested},
                )
            )
    return RecipeResult(
        recipe=recipe.name,
        title=recipe.title,
        paper=recipe.paper,
        size="study",
        data="rendered",
        command=f"mien-train run cross_domain --data rendered '{HOSTILE}'",
        architecture="mobilenet_v1_48",
        stands_in_for="resnet50",
        parameters=3_228_864,
        macs=27_400_000,
        seeds=seeds,
        machine="2 cores, load 0.8",
        versions={"python": "3.11.2", "torch": "2.14.1", "mien": "0.1.0"},
        seconds=4321.0,
        recipe_text=f"name: cross_domain  # {HOSTILE}",
        stages=stages,
        verdicts=judge(recipe, stages),
    )


class Page(html.parser.HTMLParser):
    """The page's tables as rows of cells, its text by place, and all that it refers to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.rows: list[tuple[str, list[str]]] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._version = "all"
        self._in_cell = False
        self._open: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attributes)
        self.references += [
            str(known[name]) for name in ("src", "href", "xlink:href", "data", "action") if name in known
        ]
        self.ids += [str(known["id"])] if "id" in known else []
        if known.get("class") in ("all", "dropped"):
            self._version = str(known["class"])
        if tag == "section":  # what is the same with all pictures and without some
            self._version = "all"
        if tag == "tr":
            self.rows.append((self._version, []))
        if tag in ("td", "th"):
            self.rows[-1][1].append("")
            self._in_cell = True
        if tag == "br" and self._in_cell:
            self.rows[-1][1][-1] += " "
        if tag not in ("meta", "br", "img", "input"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, text: str) -> None:
        self.text += text
        if self._in_cell:
            self.rows[-1][1][-1] += text

    def row(self, first: str, version: str = "all") -> list[str]:
        """Cells of the first row whose first cell begins so."""
        return next(row for of, row in self.rows if of == version and row and row[0].startswith(first))


def report(folder: Path, seeds: int = 3, skill: float = 2.0, **changes: object) -> tuple[RecipeResult, Recipe, Page]:
    recipe = make_recipe()
    result = msgspec.structs.replace(make_result(recipe, folder, seeds, 240, 5, skill), **changes)
    return result, recipe, Page(write_report(result, recipe, folder))
