"""Small data sets, written in the exact layouts that their publishers give out."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import cv2
import numpy as np
import openpyxl
from numpy.typing import NDArray

LANDMARKS = np.stack([np.linspace(10, 50, 68), np.linspace(60, 20, 68)], axis=1).astype(np.float32)


def picture(shade: int, side: int = 8) -> NDArray[np.uint8]:
    return np.full((side, side, 3), shade, np.uint8)


def write_picture(path: Path, shade: int = 100, side: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = {".JPEG": ".jpg"}.get(path.suffix, path.suffix)
    path.write_bytes(cv2.imencode(suffix, picture(shade, side))[1].tobytes())
    return path


# ---- CK+

CK_CODES = {"S005": 3, "S010": 7, "S011": 1, "S014": 2, "S022": 4, "S026": 5, "S037": 6}


def write_ck_plus(root: Path, frames: int = 10) -> Path:
    """Seven people with a labelled sequence each, of all seven emotions, and three without a label."""
    for person, code in CK_CODES.items():
        write_ck_sequence(root, person, "001", frames)
        label = root / "Emotion" / person / "001" / f"{person}_001_{frames:08d}_emotion.txt"
        label.parent.mkdir(parents=True)
        label.write_text(f"   {float(code):.7e}\n")
    write_ck_sequence(root, "S005", "002", frames)  # its folder in Emotion is missing
    write_ck_sequence(root, "S010", "003", frames)  # … is empty
    (root / "Emotion/S010/003").mkdir()
    write_ck_sequence(root, "S999", "001", frames)  # a person without any label
    (root / "cohn-kanade-images/.DS_Store").write_bytes(b"\0")  # as in the published archive
    (root / "cohn-kanade-images/S005/.DS_Store").write_bytes(b"\0")
    return root


def write_ck_sequence(root: Path, person: str, sequence: str, frames: int) -> None:
    for frame in range(1, frames + 1):
        name = f"{person}_{sequence}_{frame:08d}"
        write_picture(root / "cohn-kanade-images" / person / sequence / f"{name}.png", frame)
        landmarks = root / "Landmarks" / person / sequence / f"{name}_landmarks.txt"
        landmarks.parent.mkdir(parents=True, exist_ok=True)
        landmarks.write_text("".join(f"   {x:.7e}   {y + frame:.7e}\n" for x, y in LANDMARKS))


# ---- JAFFE


def write_jaffe(root: Path) -> Path:
    number = 0
    for person in ("KA", "YM"):
        for code in ("NE", "HA", "SA", "SU", "AN", "DI", "FE"):
            for repetition in (1, 2, 3):
                number += 1
                write_picture(root / f"{person}.{code}{repetition}.{number}.tiff", number)
    (root / "README_FIRST.txt").write_text("for research only")
    return root


# ---- FER2013 and FER+

FER_EMOTIONS = range(7)
FER_USAGES = ("Training", "PublicTest", "PrivateTest")
FER_PLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def fer_rows() -> list[tuple[int, str, str]]:
    """Emotion, pixels and usage: every emotion in every part, the pixels all of one shade."""
    return [
        (emotion, " ".join([str(10 * emotion + part)] * 48**2), usage)
        for part, usage in enumerate(FER_USAGES)
        for emotion in (*FER_EMOTIONS, 6)
    ]


def write_fer2013(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    lines = ["emotion,pixels,Usage", *(f"{emotion},{pixels},{usage}" for emotion, pixels, usage in fer_rows())]
    (root / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return root


def write_icml_face_data(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    lines = ["emotion, Usage, pixels", *(f"{emotion},{usage},{pixels}" for emotion, pixels, usage in fer_rows())]
    (root / "icml_face_data.csv").write_text("\r\n".join(lines) + "\r\n")
    return root


def fer_plus_rows() -> list[str]:
    """For each of `fer_rows`: the eight classes by clear majority; the last row of each part is not used."""
    rows = []
    for number, (_, _, usage) in enumerate(fer_rows()):
        votes = [0] * 10
        votes[number % 8] = 9
        votes[(number + 1) % 8] = 1
        rows.append(f"{usage},fer{number:07d}.png,{','.join(map(str, votes))}")
    return rows


def write_fer_plus(root: Path, rows: list[str]) -> Path:
    write_fer2013(root)
    (root / "fer2013new.csv").write_text("\n".join([FER_PLUS_HEADER, *rows]) + "\n")
    return root


# ---- AffectNet

AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)
AFFECTNET_POINTS = ";".join(f"{value:.2f}" for value in LANDMARKS.ravel())


def affectnet_row(path: str, expression: int, valence: str, arousal: str) -> str:
    return f"{path},12,14,80,82,{AFFECTNET_POINTS},{expression},{valence},{arousal}"


def affectnet_rows(folder: str) -> list[str]:
    """One face of each of the classes 0 to 10: none (8) with an affect, uncertain (9) and no face (10) without."""
    affects = {8: ("0.25", "-0.125"), 9: ("-2", "-2"), 10: ("-2", "-2")}
    return [
        affectnet_row(f"{folder}/{code:04x}.jpg", code, *affects.get(code, (f"{code / 10}", f"-{code / 10}")))
        for code in range(11)
    ]


def write_affectnet_lists(root: Path, below: str = "") -> Path:
    """As given out; the validation list without its header, as some copies have it."""
    lists = root / below
    lists.mkdir(parents=True, exist_ok=True)
    for name, folder in (("training.csv", "1"), ("validation.csv", "2")):
        rows = affectnet_rows(folder)
        header = [AFFECTNET_HEADER] if name == "training.csv" else []
        (lists / name).write_text("\n".join([*header, *rows]) + "\n")
        for row in rows:
            write_picture(root / "Manually_Annotated_Images" / row.split(",")[0])
    return root


def write_affectnet_folders(root: Path) -> Path:
    """The form of 2021; values as text in train_set and as numbers in val_set, both of which are found."""
    for split in ("train_set", "val_set"):
        for code in (*range(8), 10):
            write_picture(root / split / "images" / f"{code}.jpg", code)
            affect = -2.0 if code == 10 else code / 10
            values = {"exp": code, "val": affect, "aro": -affect if affect > 0 else affect, "lnd": LANDMARKS.ravel()}
            for kind, value in values.items():
                file = root / split / "annotations" / f"{code}_{kind}.npy"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, np.array(str(value) if split == "train_set" and kind != "lnd" else value))
    return root


# ---- SFEW 2.0 and RAF-DB

SFEW_CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


def write_sfew(root: Path, train: str = "Train", validation: str = "Val") -> Path:
    for folder in (train, validation):
        for number, name in enumerate(SFEW_CLASSES):
            write_picture(root / folder / name / f"Airheads_00051924{number}_00000005.png", number)
    return root


def write_raf_db(root: Path) -> Path:
    lines = []
    for split, digits in (("train", 5), ("test", 4)):
        for code in range(1, 8):
            name = f"{split}_{code:0{digits}d}"
            lines.append(f"{name}.jpg {code}")
            write_picture(root / "Image/aligned" / f"{name}_aligned.jpg", code)
            write_picture(root / "Image/original" / f"{name}.jpg", code)
            box = root / "Annotation/boundingbox" / f"{name}_boundingbox.txt"
            box.parent.mkdir(parents=True, exist_ok=True)
            box.write_text("10.0 20.0 30.5 50.0 \n")
    labels = root / "EmoLabel/list_patition_label.txt"
    labels.parent.mkdir()
    labels.write_text("\n".join(lines) + "\n")
    return root


# ---- AMIGOS

AMIGOS_COLUMNS = [
    *("UserID", "Video_Number", "VideoID", "Segment_Index"),
    *(f"{kind}_Annotator_{number}" for number in (1, 2, 3) for kind in ("Arousal", "Valence")),
]
AMIGOS_S = 49.0  # the film begins at 5 s: two whole segments, and 4 s


def amigos_rows() -> list[list[object]]:
    """Persons 1 and 12 with the short film 10, four segments each, and person 1 with a long film."""
    rows: list[list[object]] = []
    for person in (1, 12):
        for segment in (1, 2, 3, 4):
            arousal = [segment / 10, segment / 10 + 0.1, segment / 10 + 0.2]
            valence = [-segment / 10, -segment / 10, person / 100]
            scores = [value for pair in zip(arousal, valence, strict=True) for value in pair]
            rows.append([person, 2, 10, segment, *scores])
    rows.append([1, 17, "N1", 1, *[0.5] * 6])
    return rows


def write_amigos(root: Path, rows: list[list[object]] | None = None, columns: list[str] = AMIGOS_COLUMNS) -> Path:
    write_amigos_sheet(root, amigos_rows() if rows is None else rows, columns)
    for person in (1, 12):
        write_video(root / f"Exp1_P{person:02d}_face" / f"P{person:02d}_10_face.mov", AMIGOS_S)
    return root


def write_amigos_sheet(root: Path, rows: list[list[object]], columns: list[str] = AMIGOS_COLUMNS) -> None:
    root.mkdir(exist_ok=True)
    book = openpyxl.Workbook()
    for row in (columns, *rows):
        book.active.append(row)
    book.save(root / "External_Annotations.xlsx")


def write_video(path: Path, duration_s: float, rate_hz: float = 10.0) -> None:
    """Frames that get brighter by 4 with each second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate_hz, (64, 48))
    for frame in range(int(duration_s * rate_hz)):
        video.write(np.full((48, 64, 3), int(frame / rate_hz) * 4 + 20, np.uint8))
    video.release()


# ---- identities and objects


def write_vggface2(root: Path) -> Path:
    for split, people in (("train", ("n000002", "n000003")), ("test", ("n000001",))):
        rows = ["NAME_ID,X,Y,W,H"]
        for person in people:
            for number in (1, 2):
                write_picture(root / split / person / f"{number:04d}_01.jpg", number)
                rows.append(f'"{person}/{number:04d}_01",{number},2,30,40')
        boxes = root / "bb_landmark" / f"loose_bb_{split}.csv"
        boxes.parent.mkdir(exist_ok=True)
        boxes.write_text("\n".join(rows) + "\n")
    return root


def write_ms_celeb(root: Path, rows: int = 6) -> Path:
    root.mkdir(exist_ok=True)
    lines = []
    for number in range(rows):
        box = base64.b64encode(struct.pack("<4f", 0.1, 0.2, 0.8, 0.9)).decode()
        face = base64.b64encode(cv2.imencode(".jpg", picture(20 * number))[1].tobytes()).decode()
        person = f"m.0{number // 2}107_f"
        lines.append("\t".join([person, str(number), "picture", "page", f"FaceId-{number}", box, face]))
    (root / "FaceImageCroppedWithAlignment.tsv").write_text("\r\n".join(lines) + "\r\n")
    return root


def write_imagenet(root: Path) -> Path:
    for split in ("train", "val"):
        for number, category in enumerate(("n01440764", "n01443537")):
            write_picture(root / split / category / f"{category}_{number}.JPEG", number)
    return root
