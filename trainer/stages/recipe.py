"""Recipes: short yaml files that say which stages of transfer learning to run, on which data, and what to compare.

A recipe names *sources* (a data set with its split), *stages* (train on a source, starting from nothing, from package
weights or from another stage: together a tree, whose paths are the chains of transfer), *tables* to print and *trends*
to check, and *sizes*: what changes when it is run small or on rendered faces. Tables and trends stand in the recipe,
hence before anything has run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mien.bundle import Contrast, CropSpec
from mien.expression.combining import Rule
from trainer.data.face_parts import Points

Positive = Annotated[int, msgspec.Meta(gt=0)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Rate = Annotated[float, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*\Z")]
Pattern = Annotated[str, msgspec.Meta(pattern=r"^[a-z*][a-z0-9_*]*\Z")]
"""A name, or all names that are so, with * for any letters."""
Target = Literal["expression", "affect", "valence", "arousal", "identity", "category", "landmarks"]
"""What is learned: classes, classes with valence and arousal, one of these two, who it is, what is to be seen, or where
landmarks are."""


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a source is divided into training, validation and test part.

    `official`: as the data set says. `holdout`: at random by picture. `per_class`: fixed numbers of pictures of each
    class (AffectNet's in paper 000, Table I). `folds`: each picture is in the test part of one fold. `everything`: all
    pictures in the training and in the test part, for tests on other data sets only. With `by_person` nobody is in two
    parts; without it, the papers' own leak is reproduced.

    Attributes:
        kind: see above.
        test: share of all pictures or people (`holdout`).
        validation: share of what is left for training (`holdout`, `folds`, `official` without a validation part).
        by_person: whether people, not pictures, are divided (`holdout`, `folds`).
        folds: number of folds; 0 = one per person (leave one person out).
        train_per_class: at most so many pictures of each class (`per_class`).
        validation_per_class: exactly so many.
        test_per_class: exactly so many.
    """

    kind: Literal["official", "holdout", "per_class", "folds", "everything"] = "official"
    test: Share = 0.1
    validation: Share = 0.0
    by_person: bool = False
    folds: Natural = 0
    train_per_class: Positive = 15_000
    validation_per_class: Positive = 600
    test_per_class: Positive = 500


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A data set as the stages see it.

    Attributes:
        real: name of the data set as for `mien-train data describe`; below the root it has a folder of that name
            (without what follows a colon).
        rendered: domain that stands in for it, with a selection of frames of sequences after a colon as in
            `lab_a:6-small` (names of `trainer.data.sets.ck_plus.SELECTIONS`).
        more: names of other sources of the recipe that are joined to it (CK+ and JAFFE in paper 001).
        classes: expressions that are used, in the order of the model's outputs; None = all that occur.
        yaw: only pictures of heads turned to either side by so many degrees: at least the first, less than the second;
            None = all. Renders say how far, the papers' data sets do not.
        split: how it is divided.
        count: of rendered pictures; 0 = as many as the domain usually has.
        seed: of rendered pictures: other seeds, other people.
        samples: at most so many training pictures, drawn evenly from the classes; of identities and categories, few
            people or things with several pictures each, and only they are tested; 0 = all.
    """

    real: str
    rendered: str
    more: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    yaw: tuple[Annotated[float, msgspec.Meta(ge=0)], Annotated[float, msgspec.Meta(gt=0, le=180)]] | None = None
    split: Split = Split()
    count: Natural = 0
    seed: Natural = 0
    samples: Natural = 0


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Update rule: SGD with momentum, Nesterov's or not, or Adam (which ignores both; `epsilon` is its own)."""

    kind: Literal["sgd", "adam"] = "sgd"
    learning_rate: Rate = 0.01
    momentum: Share = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    epsilon: Rate = 1e-8


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the learning rate falls.

    `plateau`: times `factor` when the validation score has not risen for `patience` epochs, down to `minimum` (paper
    000). `exponential`: times `factor` every `every_epochs` (paper 003).
    """

    kind: Literal["constant", "plateau", "exponential"] = "constant"
    factor: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    patience: Natural = 10
    minimum: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    every_epochs: Positive = 1


class CenterLoss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Center loss beside the softmax loss (paper 003, eq. 1-3).

    Attributes:
        weight: λ.
        rate: α, at which the centers follow.
        squared: the distance squared, as in the work that the paper cites; False = as printed.
    """

    weight: Annotated[float, msgspec.Meta(ge=0)] = 0.001
    rate: Rate = 0.001
    squared: bool = True


class Distillation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A teacher's answers, learned beside the labels (Hinton, Vinyals and Dean 2015, arXiv 1503.02531).

    Of a network that starts from the teacher itself this is learning without forgetting (Li and Hoiem 2016, arXiv
    1606.09282). The tests of the stage compare the two.

    Attributes:
        teacher: architecture whose package weights tell expressions (`trainer.models.weights.KNOWN_EXPRESSIONS`).
        weight: of the teacher's loss, beside the stage's own; 0 = nothing is learned from it, it is only compared with.
        temperature: by which the logits of both are divided.
    """

    teacher: str = "mini_xception"
    weight: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 1.0
    temperature: Annotated[float, msgspec.Meta(ge=0.1, le=100)] = 2.0


class Balance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Against unequal classes (paper 000, III).

    `down`: at most `limit` pictures of each class (0 = as many as the smallest class has). `up`: pictures of small
    classes are repeated until all classes are equal. `weighted`: the loss weighs each class by the inverse of its size.
    """

    kind: Literal["none", "down", "up", "weighted"] = "none"
    limit: Natural = 0


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"start": "from"}):
    """One training: on what, from where, what is learned and how.

    Attributes:
        start: `nothing`, `package` (ImageNet weights that a package carries), `torchvision` (its own, by network),
            `checkpoint:PATH`, or the name of another stage. Key `from` in the file.
        architecture: network, where it is another than the recipe's.
        data: source that it is trained on, and tested on.
        tests: other sources that it is tested on, on their test parts.
        target: what is learned.
        crop: of the face; `box` is that of the data set, else of the detector.
        detector: which one; Haar's in papers 001-003, OpenCV's SSD in paper 004.
        contrast: whether it is enhanced, of grey pictures: of the `crop`, as on a robot, or of the whole `picture`,
            made 300 pixels wide and high, before faces are found in it (paper 004).
        landmarks: for the crops `outer` and `inner`, and for the target `landmarks`: the data set's own, found by the
            landmark model, or by dlib's regression trees (paper 004's annotator).
        points: part of the face whose landmarks are learned, where they are the target.
        member: of an ensemble of equals: others have other random weights and see the pictures in another order.
        head: of the stages that this one has come from, one whose dense layers take the place of its own; nothing is
            trained then (paper 004, Fig. 10: landmarks, located in features that have learned expressions since).
        average: of the stages that this one has come from, one with whose weights those it starts from are averaged;
            nothing is trained then (Wortsman and others 2022, arXiv 2109.01903, with their default of half of each).
        replace: parts of the network that start anew from a Gaussian, beside the output layer, which starts anew
            whenever its classes change.
        keep_classes: where they change, the output layer keeps what it knows of classes that there were before;
            `frozen`: and what it says of them does not change but by a temperature, whatever is learned of the others.
        unfreeze: `all`, `head` (all dense layers), `output` (the last one), or a number: the output and so many parts
            of the network, counted from the output.
        loss: `cross_entropy` for classes; `mse` or `ccc` for valence and arousal; for landmarks `l1` (paper 004, eq.
            1), or `laplace`, with which the network also tells how far off each point may be.
        center: center loss beside it.
        distil: another network's answers beside the labels.
        balance: of the classes.
        augmentation: name of a preset of `trainer.data.augmentation.PRESETS`.
        optimiser: update rule.
        schedule: of the learning rate.
        epochs: at most so many.
        stop_after: early stopping: end when the validation score has not risen for so many epochs, and keep the best
            weights; 0 = never, keep the last.
        batch_size: pictures per update, over all processes.
        dropout: before the output layer; None = as the architecture has it.
        calibrate: after training, with frozen classes also before, the logits of the classes are divided by the
            temperature with which the validation part is likeliest (Guo and others 2017, arXiv 1706.04599).
    """

    start: str = "nothing"
    architecture: str | None = None
    data: str
    tests: tuple[str, ...] = ()
    target: Target = "expression"
    crop: CropSpec = CropSpec("box", 0.0)
    detector: Literal["yunet", "haar", "ssd"] = "yunet"
    contrast: Literal["none", "crop", "picture"] = "none"
    landmarks: Literal["data", "model", "ert"] = "data"
    points: Points = "all"
    member: Natural = 0
    head: str = ""
    average: str = ""
    replace: tuple[str, ...] = ()
    keep_classes: bool | Literal["frozen"] = False
    unfreeze: Literal["all", "head", "output"] | Positive = "all"
    loss: Literal["cross_entropy", "mse", "ccc", "l1", "laplace"] = "cross_entropy"
    center: CenterLoss | None = None
    distil: Distillation | None = None
    balance: Balance = Balance()
    augmentation: str = "none"
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    epochs: Positive = 10
    stop_after: Natural = 0
    batch_size: Positive = 64
    dropout: Share | None = None
    calibrate: bool = False

    @property
    def is_trained(self) -> bool:
        """Whether anything is learned, or weights are only put together."""
        return not self.head and not self.average

    @property
    def input_contrast(self) -> Contrast:
        """What becomes of the crop itself."""
        return "clahe" if self.contrast == "crop" else "none"


class Ensemble(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stages whose networks answer together, on the tests that all of them have; nothing more is trained.

    Attributes:
        members: stages that learn expressions of the same source, and look at the same crops.
        combine: their probabilities: `mean` (paper 004, eq. 4), or each weighted by its `reliability` on that face
            (`mien.expression.combining`).
    """

    members: Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
    combine: Rule = "mean"


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row of a table: a stage, where it is tested (its own source by default), and what the paper prints.

    `gap_to` names another row of the table, to which the gap is printed: of a test on new people, the published one.
    """

    name: str
    stage: str
    test: str = ""
    published: dict[str, float] = {}
    gap_to: str = ""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of the report. `metrics` are its columns; `note` stands below it."""

    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    cite: str = ""
    note: str = ""


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One side of a comparison: a stage, tested on a source (its own by default)."""

    stage: str
    test: str = ""


class Trend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A finding of a paper, to be checked: metric of `first` minus metric of `second`.

    Attributes:
        claim: in words.
        cite: paper and table.
        first: one side.
        second: the other.
        metric: that is compared.
        second_metric: of the second side, where it is another one (an error, and that of predicting the mean).
        sign: that the paper found: first higher (+), lower (-), or equal within the interval (0).
        published: the paper's own difference, where it prints one, in units of the metric.
    """

    claim: str
    cite: str
    first: Arm
    second: Arm
    metric: str
    second_metric: str = ""
    sign: Literal["+", "-", "0"]
    published: float | None = None


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What changes when a recipe is run in one size on one kind of data.

    Attributes:
        seeds: how many repetitions; at least 3 where trends are to be judged.
        architecture: network that stands in for the recipe's own.
        side: of rendered pictures, pixels.
        sources: changes of sources, by name.
        every: changes of all stages.
        stages: changes of single stages, or of all with such a name, as parts_*_head; they win, the later ones most.
        leave_out: stages, likewise, that are not run, nor what starts from them.
        no_tests_on: sources that nothing is tested on, as they cannot be had.
    """

    seeds: Positive = 1
    architecture: str | None = None
    side: Annotated[int, msgspec.Meta(ge=32, le=512)] = 96
    sources: dict[str, dict[str, Any]] = {}
    every: dict[str, Any] = {}
    stages: dict[Pattern, dict[str, Any]] = {}
    leave_out: tuple[Pattern, ...] = ()
    no_tests_on: tuple[str, ...] = ()


class Sizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The two sizes, each on real data and on renders."""

    smoke: dict[Literal["real", "rendered"], Size] = {}
    study: dict[Literal["real", "rendered"], Size] = {}


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A recipe, checked.

    Attributes:
        name: of the recipe.
        title: in words.
        paper: whose experiment it is, as "000".
        architecture: of the network, a name of `trainer.models.ARCHITECTURES`.
        sources: by name.
        every: keys that all stages have unless they say otherwise.
        stages: by name, in an order in which each comes after what it starts from.
        ensembles: of stages, by name; rows of tables and arms of trends name them as they name stages.
        tables: of the report.
        trends: that are checked.
        sizes: what changes in the sizes.
    """

    name: Name
    title: str
    paper: str = ""
    architecture: str
    sources: dict[Name, Source]
    every: dict[str, Any] = {}
    stages: dict[Name, Stage]
    ensembles: dict[Name, Ensemble] = {}
    tables: tuple[Table, ...] = ()
    trends: tuple[Trend, ...] = ()
    sizes: Sizes = Sizes()

    def members(self, name: str) -> tuple[str, ...]:
        """Stages of an ensemble; of a stage, itself."""
        return self.ensembles[name].members if name in self.ensembles else (name,)
