"""Files with a byte that is not UTF-8, which JSON must be: named like every other damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.errors import MienError
from trainer.data.sets.renders import open_renders
from trainer.data.shards import read_index
from trainer.data.synthetic.dataset import read_labels
from trainer.evaluate.suspects import read_suspects
from trainer.stages.claim import read_claim
from trainer.stages.job_result import read_job

LABEL = b'{"index": 0, "file": "images/00000/000000.png", "domain": "lab_a", "split": "train"}\n'


@pytest.mark.parametrize(
    ("read", "name", "field"),
    [
        (read_claim, "run.json", "command"),
        (read_job, "job.json", "architecture"),
        (read_index, "index.json", "dataset"),
        (read_labels, "labels.jsonl", "file"),
        (open_renders, "dataset.json", "domain"),
        (lambda folder: read_suspects(folder / "suspects.json"), "suspects.json", "format"),
    ],
)
def test_a_byte_that_is_not_utf_8_is_named(tmp_path: Path, read: Callable[[Path], Any], name: str, field: str) -> None:
    (tmp_path / "dataset.json").write_bytes(b"{}")
    (tmp_path / "labels.jsonl").write_bytes(LABEL)
    (tmp_path / name).write_bytes(b'{"%s": "caf\xe9"}' % field.encode())
    with pytest.raises(MienError, match=rf"{name}.* cannot be read .*utf-8"):
        read(tmp_path)
