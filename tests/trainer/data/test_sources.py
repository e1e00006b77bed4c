"""The sources of a recipe: rendered stand-ins, official layouts below a root, shards, joined sets and selections."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from mien.errors import MienError
from tests.trainer.data.layouts import write_ck_plus, write_fer2013, write_jaffe, write_picture, write_raf_db
from trainer.data import sources as module
from trainer.data.catalogue import open_dataset
from trainer.data.pictures import PictureBytes, encode_png
from trainer.data.sample import Dataset, Sample, SampleList
from trainer.data.sets.ck_plus import SELECTIONS
from trainer.data.sets.renders import open_renders
from trainer.data.shards import open_shards, write_shards
from trainer.data.sources import check_folders, open_source
from trainer.data.synthetic.dataset import render
from trainer.stages.recipe import Source

SIDE = 32
PERSON = 48  # pictures of one person in lab_a: eight sequences of six


def silent(done: int, total: int) -> None:
    del done, total


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder whose renders are made as they are asked for."""
    folder = tmp_path_factory.mktemp("cache")
    try:
        render("lab_a", folder / "try", count=1, side=SIDE, workers=1)
    except MienError as error:
        if "OpenGL" not in error.problem:
            raise
        pytest.skip(str(error))
    return folder


@pytest.fixture
def cache(renders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "cache_folder", lambda: renders)
    return renders


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four data sets in their official layouts."""
    folder = tmp_path_factory.mktemp("root")
    for name, write in (
        ("ck+", write_ck_plus),
        ("jaffe", write_jaffe),
        ("fer2013", write_fer2013),
        ("raf-db", write_raf_db),
    ):
        (folder / name).mkdir()
        write(folder / name)
    return folder


def one(real: str = "ck+", rendered: str = "lab_a", **keys: object) -> dict[str, Source]:
    return {"it": Source(real=real, rendered=rendered, **keys)}  # type: ignore[arg-type]


def contents(dataset: Dataset) -> list[tuple[object, ...]]:
    return [
        (sample.split, sample.person, sample.expression, sample.sequence, sample.frame, sample.picture.read().tobytes())
        for sample in dataset
    ]


# ---- rendered


def test_only_what_is_missing_is_rendered(cache: Path) -> None:
    told: list[tuple[int, int]] = []
    first = open_source("it", one(count=6), None, SIDE, lambda *at: told.append(at))
    assert (len(first), told) == (6, [(0, 6), (6, 6)])
    told.clear()
    longer = open_source("it", one(count=PERSON), None, SIDE, lambda *at: told.append(at))
    assert (len(longer), told[0]) == (PERSON, (6, PERSON))
    told.clear()
    again = open_source("it", one(count=6), None, SIDE, lambda *at: told.append(at))
    assert (len(again), told) == (6, [(6, 6)]), "the first six of those that are there"
    assert contents(again) == contents(first)
    other = open_source("it", one(count=6, seed=5), None, SIDE, silent)
    assert {sample.person for sample in other} & {sample.person for sample in first} == set()


@pytest.mark.parametrize("name", SELECTIONS)
def test_rendered_sequences_give_the_frames_that_ck_plus_would(cache: Path, name: str) -> None:
    dataset = open_source("it", one(rendered=f"lab_a:{name}", count=PERSON), None, SIDE, silent)
    counts = Counter(sample.expression for sample in dataset)
    selection = SELECTIONS[name]
    expressions = 7 if selection.contempt else 6
    last = selection.last or 3  # frames 4, 5 and 6 of six lie beyond 54 %
    assert sum(counts.values()) == expressions * last + (7 if selection.neutral else 0)
    assert set(counts.values()) <= {last, 7}
    assert ("neutral" in counts, "contempt" in counts) == (selection.neutral, selection.contempt)
    assert all(sample.frame == 0 for sample in dataset if sample.expression == "neutral")
    assert {sample.frame for sample in dataset if sample.expression != "neutral"} == set(range(6 - last, 6))
    assert dataset.left_out == {"frames that the selection does not use": PERSON - len(dataset)}
    folder = cache / "renders" / f"lab_a-v2-{SIDE}px-seed0"
    assert contents(open_dataset(f"renders:{name}", folder)) == contents(dataset)


def test_sequences_that_are_cut_off_are_not_used(cache: Path) -> None:
    open_source("it", one(count=PERSON), None, SIDE, silent)
    dataset = open_source("it", one(rendered="lab_a:8-small", count=PERSON - 2), None, SIDE, silent)
    assert {sample.frame for sample in dataset} == {0, 5}
    assert len({sample.sequence for sample in dataset}) == 6


def test_selections_need_sequences_and_known_names(cache: Path) -> None:
    with pytest.raises(MienError, match="no sequences from neutral to an expression"):
        open_source("it", one(rendered="objects:8-small", count=3), None, SIDE, silent)
    with pytest.raises(MienError, match=r"'9-small'.*6-small"):
        open_source("it", one(rendered="lab_a:9-small", count=6), None, SIDE, silent)
    with pytest.raises(MienError, match="There is no domain 'lab_x'"):
        open_source("it", one(rendered="lab_x"), None, SIDE, silent)


def test_only_heads_that_are_turned_so_far_stay(cache: Path, root: Path) -> None:
    del cache
    whole = open_source("it", one(count=PERSON), None, SIDE, silent)
    turned = open_source("it", one(count=PERSON, yaw=(2, 4)), None, SIDE, silent)
    expected = [sample.yaw for sample in whole if sample.yaw is not None and 2 <= abs(sample.yaw) < 4]
    assert 0 < len(turned) < PERSON
    assert [sample.yaw for sample in turned] == expected
    assert turned.left_out["heads turned by another angle"] == PERSON - len(turned)
    with pytest.raises(MienError, match=r"JAFFE has no picture of a head .* turned by 0 to 90 degrees \(yaw\)"):
        open_source("it", one("jaffe", yaw=(0, 90)), root, SIDE, silent)


# ---- below a root


@pytest.mark.parametrize(
    ("name", "count"), [("ck+:6-small", 6), ("ck+", 28), ("jaffe", 42), ("fer2013", 24), ("raf-db:original", 14)]
)
def test_official_layouts_are_found_below_the_root(root: Path, name: str, count: int) -> None:
    dataset = open_source("it", one(name), root, SIDE, silent)
    assert len(dataset) == count
    assert contents(dataset) == contents(open_dataset(name, root / name.partition(":")[0]))


def test_a_csv_file_stands_in_a_folder_of_its_own(tmp_path: Path) -> None:
    write_picture(tmp_path / "csv/a.png")
    (tmp_path / "csv/mine.csv").write_text("picture,expression,person\na.png,fear,anna\n")
    (sample,) = open_source("it", one("csv"), tmp_path, SIDE, silent)
    assert (sample.expression, sample.person) == ("fear", "anna")
    (tmp_path / "csv/other.csv").write_text("picture\n")
    with pytest.raises(MienError, match="csv holds 2 csv files instead of one"):
        open_source("it", one("csv"), tmp_path, SIDE, silent)


def test_a_folder_that_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"has no folder affectnet, which must hold the data set affectnet"):
        open_source("it", one("affectnet"), root, SIDE, silent)
    with pytest.raises(MienError, match="no data set called ck"):
        open_source("it", one("ck"), root, SIDE, silent)
    (tmp_path / "ck+").mkdir()
    with pytest.raises(MienError, match="cohn-kanade-images is missing"):
        open_source("it", one("ck+"), tmp_path, SIDE, silent)


def test_all_folders_that_are_missing_are_named_at_once(root: Path) -> None:
    sources = {
        "lab": Source("ck+:8-large", "lab_a", more=("more",)),
        "more": Source("sfew:aligned", "lab_b"),
        "wild": Source("affectnet", "wild"),
        "again": Source("affectnet", "wild"),
        "not_used": Source("imagenet", "objects"),
    }
    with pytest.raises(
        MienError, match=r"has no folders sfew, affectnet, which must hold .*sfew:aligned, affectnet\."
    ) as all_:
        check_folders(["lab", "wild", "again"], sources, root)
    assert "imagenet" not in str(all_.value)
    with pytest.raises(MienError, match="has no folder sfew, which must hold the data set sfew:aligned"):
        check_folders(["lab"], sources, root)
    check_folders([], sources, root)


# ---- joined, and some expressions only


def test_joined_sources_keep_their_people_apart(root: Path) -> None:
    sources = {"lab": Source("ck+:8-large", "lab_a", more=("more",)), "more": Source("jaffe", "lab_b")}
    dataset = open_source("lab", sources, root, SIDE, silent)
    assert (len(dataset), dataset.name) == (28 + 42, "CK+ 8-large + JAFFE")
    people = {str(sample.person) for sample in dataset}
    assert {"lab/S005", "more/KA"} <= people
    assert len(people) == 9
    assert dataset[27].sequence == "lab/S037_001"
    assert dataset[28].picture == open_dataset("jaffe", root / "jaffe")[0].picture
    assert dataset.left_out["CK+ 8-large: sequences without a label"] == 3
    with pytest.raises(IndexError):
        dataset[70]


def test_a_set_may_be_joined_to_itself(root: Path) -> None:
    sources = {"a": Source("jaffe", "lab_b", more=("b",)), "b": Source("jaffe", "lab_b")}
    assert len({sample.person for sample in open_source("a", sources, root, SIDE, silent)}) == 4


def test_only_the_expressions_that_are_used_stay(root: Path) -> None:
    sources = one("jaffe", classes=("fear", "neutral"))
    dataset = open_source("it", sources, root, SIDE, silent)
    assert Counter(sample.expression for sample in dataset) == {"fear": 6, "neutral": 6}
    assert dataset.left_out == {"expressions that are not used": 30}
    with pytest.raises(MienError, match="JAFFE has no picture of contempt"):
        open_source("it", one("jaffe", classes=("contempt",)), root, SIDE, silent)


# ---- shards


@pytest.mark.parametrize("name", ["ck+:6-small", "jaffe", "fer2013"])
def test_shards_stand_for_the_data_set_they_were_made_of(root: Path, tmp_path: Path, name: str) -> None:
    original = open_source("it", one(name), root, SIDE, silent)
    write_shards(original, tmp_path / name.partition(":")[0], 3, silent, records_per_shard=5)
    packed = open_source("it", one(name), tmp_path, SIDE, silent)
    assert packed.name == original.name
    assert contents(packed) == contents(original)
    for ours, theirs in zip(packed, original, strict=True):
        assert ours.box == theirs.box
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks)


def test_shards_of_another_selection_are_refused_and_several_may_be_there(root: Path, tmp_path: Path) -> None:
    write_shards(open_dataset("ck+:6-small", root / "ck+"), tmp_path / "ck+", 0, silent)
    with pytest.raises(MienError, match=r"holds shards of CK\+ 6-small, not of ck\+:8-large"):
        open_source("it", one("ck+:8-large"), tmp_path, SIDE, silent)
    write_shards(open_dataset("ck+:8-large", root / "ck+"), tmp_path / "ck+:8-large", 0, silent)
    assert len(open_source("it", one("ck+:8-large"), tmp_path, SIDE, silent)) == 28


@pytest.mark.parametrize("damage", ["cut", "labels", "record"])
def test_damaged_shards_are_named(root: Path, tmp_path: Path, damage: str) -> None:
    write_shards(open_dataset("jaffe", root / "jaffe"), tmp_path, 0, silent)
    (file,) = tmp_path.glob("*.tar")
    data = file.read_bytes()
    with tarfile.open(file) as tar:
        members = tar.getmembers()
    if damage == "cut":
        file.write_bytes(data[: members[5].offset_data])
    elif damage == "record":
        file.write_bytes(data[: members[0].offset] + data[members[1].offset :])
    else:
        labels = next(member for member in members if member.name.endswith("json"))
        file.write_bytes(data[: labels.offset_data] + b"?" + data[labels.offset_data + 1 :])
    with pytest.raises(MienError, match=f"{file.name}.*cannot be read"):
        [*open_shards(tmp_path)]


def test_a_hundred_thousand_packed_samples_take_little_memory(tmp_path: Path) -> None:
    """Records are written by hand, once, and read as fifty shards: links to one file."""
    png = encode_png(np.zeros((8, 8), np.uint8))
    few = SampleList(
        "many", [Sample(PictureBytes(str(n), ".png", png), "train", expression="fear") for n in range(2000)]
    )
    write_shards(few, tmp_path, 0, silent, records_per_shard=2000)
    index = json.loads((tmp_path / "index.json").read_text())
    for number in range(1, 50):
        name = f"train-{number:06d}.tar"
        (tmp_path / name).hardlink_to(tmp_path / "train-000000.tar")
        index["shards"].append(index["shards"][0] | {"file": name})
    (tmp_path / "index.json").write_text(json.dumps(index | {"splits": {"train": 100_000}}))
    process = psutil.Process()
    before = process.memory_info().rss
    dataset = open_shards(tmp_path)
    assert len(dataset) == 100_000
    assert sum(dataset[number].expression == "fear" for number in range(0, 100_000, 1000)) == 100
    assert process.memory_info().rss - before < 40e6


def test_renders_are_still_opened_whole(cache: Path) -> None:
    open_source("it", one(count=6), None, SIDE, silent)
    assert len(open_renders(cache / "renders" / f"lab_a-v2-{SIDE}px-seed0")) >= 6
