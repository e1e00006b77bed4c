"""Tables of a report: a recipe's own, or those of its stages."""

from __future__ import annotations

import pytest

from trainer.evaluate.report.tables import tables_of
from trainer.stages.recipe import Recipe, Row, Source, Stage, Table


def recipe(*tables: Table, **stages: Stage) -> Recipe:
    return Recipe(
        name="mine",
        title="Mine",
        architecture="mobilenet_v1_48",
        sources={"faces": Source("affectnet", "wild"), "lab": Source("ck_plus", "lab_a")},
        stages=stages,
        tables=tables,
    )


def columns(table: Table) -> tuple[tuple[str, ...], list[tuple[str, str, str]]]:
    return table.metrics, [(row.name, row.stage, row.test) for row in table.rows]


def test_a_recipes_own_tables_win() -> None:
    own = Table("Mine", ("accuracy",), (Row("one", "one"),))
    assert tables_of(recipe(own, one=Stage(data="faces"))) == (own,)


@pytest.mark.parametrize("target", ["expression", "identity", "category"])
def test_without_tables_every_stage_and_each_of_its_tests_has_a_row(target: str) -> None:
    (table,) = tables_of(recipe(one=Stage(data="faces", target=target), two=Stage(data="faces", tests=("lab",))))  # type: ignore[arg-type]
    assert columns(table) == (
        ("accuracy", "macro_f1", "training_accuracy"),
        [("one", "one", ""), ("two", "two", ""), ("two, tested on lab", "two", "lab")],
    )


def test_without_tables_valence_and_arousal_stand_beside_predicting_the_mean() -> None:
    of_valence, of_both = Stage(data="faces", target="valence"), Stage(data="faces", target="affect")
    (table,) = tables_of(recipe(one=of_valence))
    assert columns(table) == (("valence_rmse", "valence_rmse_of_mean", "valence_ccc"), [("one", "one", "")])
    classes, affect = tables_of(recipe(one=of_valence, two=of_both))
    assert columns(classes) == (("accuracy", "macro_f1", "training_accuracy"), [("two", "two", "")])
    assert columns(affect) == (
        ("valence_rmse", "valence_rmse_of_mean", "valence_ccc", "arousal_rmse", "arousal_rmse_of_mean", "arousal_ccc"),
        [("one", "one", ""), ("two", "two", "")],
    )
