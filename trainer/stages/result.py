"""What running a recipe gives: plain figures that become report.json, tables and the report."""

from __future__ import annotations

import msgspec


class Epoch(msgspec.Struct, frozen=True):
    """One pass over the training part.

    Attributes:
        epoch: number, from 1.
        loss: mean over the pictures seen.
        training_score: on the pictures as they were seen, with augmentation: accuracy, or minus the error.
        validation_score: likewise on the validation part; None where there is none.
        learning_rate: in this epoch.
        pictures: seen in this epoch.
        seconds: it took, without validation.
    """

    epoch: int
    loss: float
    training_score: float
    validation_score: float | None
    learning_rate: float
    pictures: int
    seconds: float


class ClassFigures(msgspec.Struct, frozen=True):
    """One class: precision, recall and F1, 0 to 1 (NaN is null: not defined), and its pictures."""

    precision: float | None
    recall: float | None
    f1: float | None
    pictures: int


class TestResult(msgspec.Struct, frozen=True):
    """A stage on the test part of a source; folds are pooled.

    Attributes:
        source: name in the recipe.
        data: name of the data set.
        split: how train and test were divided, in words.
        people: in the test part; None where the data set names none.
        shared_people: people of the test part that were in the training part too; None where not known.
        pictures: in the test part.
        folds: whose test parts are pooled.
        left_out: pictures that could not be used, by reason.
        labels: order of `confusion`; empty for valence and arousal alone.
        figures: by name: accuracy, macro_precision, macro_recall, macro_f1, mean_over_people, calibration_error,
            neutral_called_negative; with a teacher teacher_agreement, teacher_accuracy,
            teacher_neutral_called_negative;
            valence_rmse, valence_ccc, valence_rmse_of_mean (predicting the training mean), the same for arousal; of an
            ensemble best_member_accuracy and mean_member_accuracy; landmark_error, visible_landmark_error, and by part
            jaw_landmark_error and so on.
        intervals: 95 % intervals of some figures, bootstrapped over people; over pictures where `people` is None.
        confusion: rows = true class, columns = predicted class; empty for more than 100 classes.
        classes: figures of each class; empty likewise.
        predictions: file with every prediction, relative to the run's folder.
    """

    source: str
    data: str
    split: str
    people: int | None
    shared_people: int | None
    pictures: int
    folds: int
    left_out: dict[str, int]
    labels: tuple[str, ...]
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    confusion: list[list[int]]
    classes: dict[str, ClassFigures]
    predictions: str


class StageResult(msgspec.Struct, frozen=True):
    """One stage with one seed, all folds; or an ensemble of some, which was not trained itself.

    Attributes:
        stage: name in the recipe.
        seed: of this repetition.
        lineage: as "IN → MC1M → VF2 → AffectNet".
        folds: that were trained; 1 without folds.
        trained: share of the network's parameters that were trained, 0 to 1.
        figures: training_accuracy (or training_landmark_error) and training_loss (as published: the last epoch's),
            images_seen, seconds, seconds_per_epoch, epochs;
            of the stage alone; chain_images_seen and chain_seconds with all that it started from; parameters and macs
            (multiply-accumulates for one picture) of the network. Means over folds, sums for images and seconds;
            seconds_per_epoch is the median over the epochs of all folds, as the first epochs include starting up. Of an
            ensemble, sums over its members, without what tells how well they were trained.
        parts: by `train`, `validation` and `test`, pictures of each class; the training part as it was used (balanced,
            with the repetitions); summed over folds; key "pictures" where there are no expressions.
        epochs: of each fold.
        tests: by source.
        members: of an ensemble; empty otherwise.
    """

    stage: str
    seed: int
    lineage: str
    folds: int
    trained: float
    figures: dict[str, float]
    parts: dict[str, dict[str, int]]
    epochs: list[list[Epoch]]
    tests: dict[str, TestResult]
    members: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """A trend of the recipe, judged: `first` minus `second`, paired by seed.

    Attributes:
        claim: in words.
        cite: paper and table.
        metric: that is compared.
        sign: that the paper found.
        published: its difference; None where it prints none.
        difference: ours, mean over seeds; None where a side was not run.
        low: of the 95 % interval over seeds (Student's t of the paired differences); None for fewer than 3 seeds.
        high: of the same.
        seeds: number of pairs.
        verdict: `shown`, `opposite`, `not shown` (the interval holds 0), or `not judged`; for the sign 0, by
            equivalence (`trainer.evaluate.trends.judge`).
        second_metric: of the second side, where it is another one.
    """

    claim: str
    cite: str
    metric: str
    sign: str
    published: float | None
    difference: float | None
    low: float | None
    high: float | None
    seeds: int
    verdict: str
    second_metric: str = ""


class RecipeResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run.

    Attributes:
        recipe: its name.
        title: in words.
        paper: whose experiment it is.
        size: smoke or study.
        data: "rendered", or the root's name.
        command: that repeats it.
        architecture: network that was trained.
        stands_in_for: the recipe's own network where another was trained.
        parameters: of the network.
        macs: multiply-accumulates for one picture.
        seeds: repetitions.
        machine: processor, cores, load at the start, and how many jobs shared the cores, with how many threads.
        versions: of Python, torch and mien.
        seconds: of all training, summed over processes.
        recipe_text: the recipe as it was run, yaml.
        stages: in the order of the recipe, seed by seed; then its ensembles likewise.
        verdicts: of the trends.
    """

    format: str = "mien-result"
    version: int = 1
    recipe: str
    title: str
    paper: str
    size: str
    data: str
    command: str
    architecture: str
    stands_in_for: str | None
    parameters: int
    macs: int
    seeds: int
    machine: str
    versions: dict[str, str]
    seconds: float
    recipe_text: str
    stages: list[StageResult]
    verdicts: list[Verdict]
