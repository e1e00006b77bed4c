"""AMIGOS: three observers, segments of 20 s, a frame every 4 s."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MienError
from tests.trainer.data.layouts import AMIGOS_COLUMNS, amigos_rows, write_amigos, write_amigos_sheet
from trainer.data.sample import SampleList
from trainer.data.sets.amigos import open_amigos, segment_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_amigos(tmp_path_factory.mktemp("amigos"))


@pytest.fixture(scope="module")
def amigos(folder: Path) -> SampleList:
    return open_amigos(folder)


def test_a_frame_is_taken_every_four_seconds(amigos: SampleList) -> None:
    times = [float(sample.picture.name.split(" at ")[1].removesuffix(" s")) for sample in amigos]
    assert times == [4.0 * number for number in range(13)] * 2
    assert [sample.person for sample in amigos] == ["P01"] * 13 + ["P12"] * 13
    assert {sample.sequence for sample in amigos} == {"P01_10", "P12_10"}


def test_the_label_is_the_mean_of_three_observers(amigos: SampleList) -> None:
    # Segment 2 is 5 s to 25 s: arousal 0.2, 0.3, 0.4 and valence -0.2, -0.2, 0.12 of person 12.
    sample = amigos[13 + 3]
    assert sample.arousal == pytest.approx(0.3)
    assert sample.valence == pytest.approx((-0.2 - 0.2 + 0.12) / 3)


def test_frames_belong_to_the_segment_they_are_in(amigos: SampleList) -> None:
    arousals = [round((sample.arousal or 0) - 0.1, 6) for sample in amigos][:13]
    segments = [1, 1, *[2] * 5, *[3] * 5, 4]  # 0 and 4 s; 8 … 24 s; 28 … 44 s; 48 s
    assert arousals == pytest.approx([segment / 10 for segment in segments])


@pytest.mark.parametrize("number", [0, 1, 12])
def test_a_frame_is_the_one_shown_at_its_time(amigos: SampleList, number: int) -> None:
    image = amigos[number].picture.read()
    assert image.shape == (48, 64, 3)
    assert image.mean() == pytest.approx(20 + 4 * 4 * number, abs=4)


def test_describe_counts_people_and_affect(amigos: SampleList) -> None:
    description = amigos.describe()
    assert (description.samples, description.people) == (26, 2)
    assert description.splits["all"].valence_arousal == 26
    assert description.splits["all"].expressions == {}


@given(st.floats(0, 400), st.floats(25, 400))
def test_every_moment_has_a_segment(time_s: float, duration_s: float) -> None:
    time_s = min(time_s, duration_s)
    segment = segment_of(time_s, duration_s)
    last = 2 + int((duration_s - 5) // 20)
    assert 1 <= segment <= last
    if 1 < segment < last:
        assert 5 + 20 * (segment - 2) <= time_s < 5 + 20 * (segment - 1)


def test_videos_without_a_short_film_are_left_out(folder: Path, tmp_path: Path) -> None:
    for name in ("External_Annotations.xlsx", "Exp1_P01_face", "Exp1_P12_face"):
        (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "Exp2_P01_face").mkdir()
    (tmp_path / "Exp2_P01_face/P01_N1_face.mov").write_bytes(b"a long film")
    (tmp_path / "Exp1_P13_face").mkdir()
    (tmp_path / "Exp1_P13_face/P13_10_face.mov").write_bytes(b"nobody annotated it")
    dataset = open_amigos(tmp_path)
    assert len(dataset) == 26
    assert dataset.left_out == {"videos without an annotation of a short film": 2}


def changed(place: int, column: str, value: Any) -> Callable[[list[list[Any]]], None]:
    def change(rows: list[list[Any]]) -> None:
        rows[place][AMIGOS_COLUMNS.index(column)] = value

    return change


def test_a_few_ratings_beyond_the_scale_are_set_to_its_end(folder: Path, tmp_path: Path) -> None:
    rows = amigos_rows()
    rows += [[person, 3, 13, segment, *[0.0] * 6] for person in range(1, 31) for segment in (1, 2)]
    changed(1, "Valence_Annotator_3", 1.02)(rows)
    write_amigos_sheet(tmp_path, rows)
    (tmp_path / "Exp1_P01_face").symlink_to(folder / "Exp1_P01_face")
    assert open_amigos(tmp_path)[3].valence == pytest.approx((-0.2 - 0.2 + 1) / 3)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (changed(0, "UserID", "one"), "row 1: UserID is 'one'"),
        (changed(0, "Segment_Index", 1.5), r"row 1: Segment_Index is 1\.5"),
        (changed(2, "Valence_Annotator_2", None), "row 3: Valence_Annotator_2 is None"),
        (changed(2, "Arousal_Annotator_1", "high"), "row 3: Arousal_Annotator_1 is 'high'"),
        (changed(1, "Segment_Index", 1), "row 2: segment 1 of person 1 and film 10 is there twice"),
        (changed(0, "Arousal_Annotator_1", 7), "1 of 48 ratings lie beyond -1 to 1"),
        (lambda rows: rows.pop(3), r"P01_10_face\.mov lasts 49\.0 s, which does not fit its segments \[1, 2, 3\]"),
        (lambda rows: rows.clear(), "has no row of a short film"),
        (lambda rows: [changed(number, "VideoID", 9)(rows) for number in range(8)], "describes none of the 2 videos"),
    ],
)
def test_a_wrong_sheet_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[list[list[Any]]], object], problem: str
) -> None:
    rows = amigos_rows()
    change(rows)
    write_amigos_sheet(tmp_path, rows)
    for person in ("Exp1_P01_face", "Exp1_P12_face"):
        (tmp_path / person).mkdir()
        for video in (folder / person).iterdir():
            (tmp_path / person / video.name).symlink_to(video)
    with pytest.raises(MienError, match=problem):
        open_amigos(tmp_path)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"External_Annotations\.xlsx is missing.*Queen Mary"):
        open_amigos(tmp_path)
    write_amigos_sheet(tmp_path, amigos_rows())
    with pytest.raises(MienError, match=r"P01_10_face\.mov is missing.*Queen Mary"):
        open_amigos(tmp_path)
    write_amigos_sheet(tmp_path, [row[:-1] for row in amigos_rows()], AMIGOS_COLUMNS[:-1])
    with pytest.raises(MienError, match="has no column Valence_Annotator_3"):
        open_amigos(tmp_path)
    (tmp_path / "External_Annotations.xlsx").write_bytes(b"PK no sheet")
    with pytest.raises(MienError, match=r"External_Annotations\.xlsx cannot be read"):
        open_amigos(tmp_path)


def test_a_damaged_video_is_named(folder: Path, tmp_path: Path) -> None:
    write_amigos_sheet(tmp_path, amigos_rows())
    (tmp_path / "P01_10_face.mov").write_bytes(b"no video")
    with pytest.raises(MienError, match=r"P01_10_face\.mov cannot be read as a video"):
        open_amigos(tmp_path)
