"""Jobs in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
from pathlib import Path
from threadpoolctl import threadpool_info
from trainer.stages.jobs import Job, run_jobs

def keep_threads(job, _tell):
    import numpy, torch
    found = [torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]
    Path(f"{job.seed}").write_text(" ".join(map(str, found)))

if __name__ == "__main__":
    run_jobs([Job("any", "stage", seed) for seed in range(2)], keep_threads, 2, lambda *_: None)
"""


def test_processes_share_the_cores_with_all_their_threads(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=free, check=True, timeout=100)
    for seed in range(2):
        threads = [int(text) for text in (tmp_path / f"{seed}").read_text().split()]
        assert len(threads) > 1
        assert max(threads) <= max(1, (os.cpu_count() or 1) // 2)
