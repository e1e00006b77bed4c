"""Paper 003's figures and its law of cost, and our own fit of that law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mien.benchmark.results import InProcess, Law, PaperCost

PAPER_003 = PaperCost(
    detect_ms=46.93,
    prepare_ms=7.49,
    classify_ms=3.57,
    hardware="NVIDIA Quadro K4200 GPU / Intel Xeon (R) E5-1603 v3 2.8 GHz * 4 CPU",
)
"""Section 5.2 and Table 6 of paper 003; the law itself, detect + M · (prepare + classify), is in the section's text."""

PAPER_TABLE_6 = (
    ("IVA + HOG + Adaboost + SVM [12]", "66.7", "2.4 GHz CPU with no GPU"),
    ("LBP + SVM/Adaboost [43]", "227", "Intel i3 2.2 GHz CPU"),
    ("Boosted Deep Belief Networks (BDBN) [44]", "210", "6-core 2.4GHz PC"),
    ("2D-LDA + SVM [45]", "35.7", "Pentium IV with 2.80GHz"),
    ("DCNN + SVM [14]", "140 ~ 145", "Tesla K20Xm GPU with compute version 3.5 / CPU (700-900ms)"),
    ("CNN + OVA Binary Classification [48]", "230", "Intel Core i7 3.4 GHz with a NVIDIA GeForce GTX 660"),
    ("68 Facial Landmarks + Optical Flow + SVM [11]", "83.3", "2.6 GHz Intel Core i5 CPU"),
    ("Paper 003's own (MobileNetV1, 48x48)", str(PAPER_003.classify_ms), PAPER_003.hardware),
)
"""Classification only, ms per frame; printed as in the paper."""


def paper_law_ms(faces: int) -> float:
    """What paper 003's system needs for a frame with so many faces, ms, on its hardware."""
    return PAPER_003.detect_ms + faces * (PAPER_003.prepare_ms + PAPER_003.classify_ms)


def fit_law(results: Sequence[InProcess]) -> list[Law]:
    """One law for each image size and detection interval that was timed with two or more numbers of faces."""
    groups: dict[tuple[int, int, int], dict[int, float]] = {}
    for result in results:
        case = result.case
        key = (case.width, case.height, case.detection_interval_frames)
        # The mean where detection runs on some frames only: a median would not see it at all.
        time_ms = result.total_ms.median if case.detection_interval_frames == 1 else result.total_ms.mean
        groups.setdefault(key, {})[case.faces] = time_ms
    return [Law(*key, *_least_squares(times_ms)) for key, times_ms in groups.items() if len(times_ms) > 1]


def _least_squares(times_ms: Mapping[int, float]) -> tuple[float, float, float]:
    """Intercept, slope and largest error of a line through (faces, ms)."""
    faces, measured = np.array(list(times_ms), float), np.array(list(times_ms.values()))
    slope, intercept = np.polyfit(faces, measured, 1)
    error = np.abs(intercept + slope * faces - measured).max()
    return round(float(intercept), 3), round(float(slope), 3), round(float(error), 3)
