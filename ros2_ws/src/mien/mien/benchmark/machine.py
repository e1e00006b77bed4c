"""Facts about the machine, and the memory of a process."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import psutil

from mien.benchmark.board import board_facts
from mien.benchmark.results import Memory

_DDS_SEGMENTS = ("/dev/shm/fastrtps_", "/dev/shm/fastdds_", "/dev/shm/sem.fast")  # noqa: S108  names, not files of ours


def machine_facts() -> dict[str, str]:
    """Hardware and versions, by name."""
    return {
        **board_facts(),
        "CPU": f"{_cpu()}, {psutil.cpu_count()} cores, {platform.machine()}",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": _system(),
        "other load": f"{os.getloadavg()[0]:.1f} processes ready to run in the minute before",
        "scheduling": "normal" if os.sched_getscheduler(0) == os.SCHED_OTHER else "real time: ahead of the other load",
        "Python": platform.python_version(),
        "OpenCV": cv2.__version__,
        "ONNX Runtime": onnxruntime.__version__,
        "numpy": np.__version__,
        "mien": version("mien"),
    }


def memory_of(process_id: int) -> Memory:
    """Resident memory of a running process of this user; Linux."""
    maps = psutil.Process(process_id).memory_maps(grouped=False)
    resident = sum(one.rss for one in maps)
    dds = sum(one.rss for one in maps if one.path.startswith(_DDS_SEGMENTS))
    private = sum(one.private_clean + one.private_dirty for one in maps if not one.path.startswith(_DDS_SEGMENTS))
    return Memory(*(round(size / 1e6, 1) for size in (resident, dds, resident - dds, private)))


def _cpu() -> str:
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in facts if line.startswith(("model name", "Model")))
    return next(names, platform.processor())


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = platform.system()
    return f"{name}, Linux {platform.release()}"
