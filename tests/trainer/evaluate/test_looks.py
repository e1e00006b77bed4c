"""The sheets of a report: which faces, whose maps, and nothing where there is nothing."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np

from mien.faces.detector import Image
from tests.trainer.evaluate.reports import LABELS, Page, make_recipe, make_result
from trainer.evaluate.predictions import load_predictions
from trainer.evaluate.report import write_report
from trainer.explain.explanation import Explanation, Part
from trainer.stages.recipe import Ensemble, Recipe
from trainer.stages.result import RecipeResult

PARTS = ("eyes", "mouth")


class Looks:
    """Stands in for networks: what it is asked, and an answer to it."""

    def __init__(self, parts: dict[str, tuple[str, ...]] | None = None, is_there: bool = True) -> None:
        self.asked: list[tuple[str, int, str, int, str, str]] = []
        self._parts, self._is_there = parts or {}, is_there

    def __call__(self, *asked: str | int) -> tuple[Image, Explanation] | None:
        self.asked.append(asked)  # type: ignore[arg-type]
        stage, class_name = str(asked[0]), str(asked[-1])
        odds = np.full(len(LABELS), 0.05, np.float32)
        odds[LABELS.index(class_name)] = 0.65
        heat = np.arange(4, dtype=np.float32).reshape(2, 2)
        parts = tuple(Part(name, odds, heat) for name in self._parts.get(stage, (stage,)))
        if not self._is_there:
            return None
        return np.full((20, 20, 3), 90, np.uint8), Explanation(LABELS, LABELS.index(class_name), odds, parts)


def run(folder: Path) -> tuple[RecipeResult, Recipe]:
    recipe = make_recipe()
    return make_result(recipe, folder, 2, pictures=200, epoch_count=1), recipe


def test_shows_the_surest_right_and_wrong_answers_of_each_stage(tmp_path: Path) -> None:
    result, recipe = run(tmp_path)
    looks = Looks()
    page = write_report(result, recipe, tmp_path, None, looks)
    for name in recipe.stages:
        first = next(stage for stage in result.stages if stage.stage == name)
        (source,) = first.tests
        answers = load_predictions(tmp_path / first.tests[source].predictions)
        asked = [one for one in looks.asked if one[0] == name]
        assert {one[1:3] for one in asked} == {(first.seed, source)}
        places = [answers.names.tolist().index(one[4]) for one in asked]
        is_right = (answers.predicted == answers.truth)[places].tolist()
        assert is_right == [True] * 3 + [False] * 3
        for some in (places[:3], places[3:]):
            assert len(set(answers.truth[some].tolist())) == 3
        surest = np.flatnonzero(answers.predicted == answers.truth)
        assert answers.confidence[places[0]] == answers.confidence[surest].max()
        assert [one[5] for one in asked] == [answers.labels[number] for number in answers.predicted[places]]
        assert [one[3] for one in asked] == answers.fold[places].tolist()
    text = page.read_text(encoding="utf-8")
    assert text.count('class="look"') == len(looks.asked) == 18
    assert len(re.findall("<b>[a-z]+ 65\N{NO-BREAK SPACE}%</b>", text)) == 18


def test_shows_nothing_where_nothing_is_to_be_had(tmp_path: Path) -> None:
    result, recipe = run(tmp_path)
    for looks in (None, Looks(is_there=False)):
        page = Page(write_report(result, recipe, tmp_path, None, looks))
        assert "Where it looks" not in page.text
        assert "ensembles" not in page.ids


def test_shows_the_same_faces_through_all_ensembles_and_their_parts(tmp_path: Path) -> None:
    result, recipe = run(tmp_path)
    members = ("identity", "expression")
    names = ("baseline", "parts", "weighted")
    recipe = msgspec.structs.replace(recipe, ensembles=dict.fromkeys((*names, "of_others"), Ensemble(members)))
    of_member = [stage for stage in result.stages if stage.stage == "expression"]
    stages = [msgspec.structs.replace(stage, stage=name, members=members) for name in names for stage in of_member]
    stages += [msgspec.structs.replace(stage, stage="of_others", tests={}) for stage in stages[:1]]
    looks = Looks({"baseline": members, "parts": PARTS, "weighted": PARTS})
    page = Page(
        write_report(msgspec.structs.replace(result, stages=[*result.stages, *stages]), recipe, tmp_path, None, looks)
    )
    assert "ensembles" in page.ids
    together = page.text.partition("As paper 004's Fig. 11")[2].partition("✓")[2].partition("Methods")[0]
    # Each of three faces: itself, all ensembles as one, the parts of the same networks once.
    for title, times in (("the face", 3), ("baseline", 3), ("weighted", 3), ("eyes", 3), ("mouth", 3), ("identity", 0)):
        assert together.count(title) == times
    assert not {one[0] for one in looks.asked} & set(members), "ensembles show their members"
    asked = looks.asked[-9:]
    assert [one[0] for one in asked] == [*names] * 3
    assert len({one[4] for one in asked}) == len({one[5] for one in asked}) == 3


def test_shows_faces_of_members_at_their_ensemble_only(tmp_path: Path) -> None:
    result, recipe = run(tmp_path)
    recipe = msgspec.structs.replace(recipe, ensembles={"both": Ensemble(("expression",))})
    of_member = [stage for stage in result.stages if stage.stage == "expression"]
    together = [msgspec.structs.replace(stage, stage="both", members=("expression",)) for stage in of_member]
    for more, shown in (([], 3), (together, 2)):  # an ensemble that was not run shows nothing in their place
        stages = [*result.stages, *more]
        text = Page(write_report(msgspec.structs.replace(result, stages=stages), recipe, tmp_path, None, Looks())).text
        # Where it was: its own, and those of the stage that it does not come from; `expression` starts from `identity`.
        assert text.count("Most confident errors") == text.count("Where it looks on") == shown
        assert text.count("are shown at the ensemble both.") == (2 if more else 0)


def test_warns_of_faces_that_only_sheets_show(tmp_path: Path) -> None:
    result, recipe = run(tmp_path)
    result = msgspec.structs.replace(result, data="faces")
    assert "do not pass it on" in Page(write_report(result, recipe, tmp_path, None, Looks())).text
    assert "do not pass it on" not in Page(write_report(result, recipe, tmp_path)).text
