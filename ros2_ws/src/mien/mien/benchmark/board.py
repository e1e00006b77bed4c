"""What a board says about itself: a Jetson's power mode, clocks and versions, without which its times mean nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mien.runtime.jetson import l4t_version

_COMMAND_TIMEOUT_S = 10.0
_ROOT = Path("/")
_GPU = re.compile(r"gpu|\.g[a-z]\d\d[a-z]$")
"""Names of GPUs among the devices with adjustable clocks: 17000000.gpu, 17000000.ga10b, gpu-gpc-0."""
_PACKAGES = {
    "JetPack": r"nvidia-jetpack",
    "TensorRT": r"libnvinfer\d+",
    "cuDNN": r"libcudnn\d+(-cuda-\d+)?",
}
"""Names of Debian packages whose versions are shown."""


def board_facts(root: Path = _ROOT) -> dict[str, str]:
    """What stays as it is while something is measured: board, power mode, versions. What is not there is left out.

    Args:
        root: the folder that holds `etc`, `proc`, `usr`, `var`.
    """
    facts = {
        "board": _text(root / "proc/device-tree/model"),
        "L4T": l4t_version(root),
        "power mode": _power_mode(),
        "CUDA": _cuda(root),
        **_packages(root),
    }
    return {name: value for name, value in facts.items() if value}


def board_state(root: Path = _ROOT) -> dict[str, str]:
    """What changes under load: clocks and temperatures. What is not there is left out.

    Args:
        root: the folder that holds `sys`.
    """
    processors = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))
    graphics = [path for path in sorted((root / "sys/class/devfreq").glob("*")) if _GPU.search(path.name)]
    query = ["--query-gpu=name,driver_version,clocks.sm,temperature.gpu,power.limit", "--format=csv,noheader"]
    state = {
        "CPU clock": _clock(processors, "scaling_cur_freq", "scaling_max_freq", "scaling_governor", per_mhz=1_000),
        "GPU clock": _clock(graphics, "cur_freq", "max_freq", "governor", per_mhz=1_000_000),
        "temperature": ", ".join(_temperatures(root)),
        "nvidia-smi": "; ".join(_output(["nvidia-smi", *query]).splitlines()),
    }
    return {name: value for name, value in state.items() if value}


def _power_mode() -> str:
    if shutil.which("nvpmodel") is None:
        return ""
    found = re.search(r"NV Power Mode: *(\S+)", _output(["nvpmodel", "-q"]))
    return found[1] if found else "unknown: sudo nvpmodel -q tells"


def _cuda(root: Path) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(_text(root / "usr/local/cuda/version.json"))["cuda"]["version"])
    return ""


def _packages(root: Path) -> dict[str, str]:
    found = {}
    for entry in _text(root / "var/lib/dpkg/status").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Status): (.*)$", entry, re.MULTILINE))
        for name, pattern in _PACKAGES.items():
            if re.fullmatch(pattern, fields.get("Package", "")) and fields.get("Status", "").endswith(" installed"):
                found[name] = fields["Version"]
    return found


def _clock(devices: list[Path], current: str, highest: str, governor: str, per_mhz: int) -> str:
    """As "1190–1510 of 1510 MHz, schedutil"; where the devices' limits or governors differ, all of them."""
    now, limits = ([_number(path / name) // per_mhz for path in devices] for name in (current, highest))
    if not any(now):
        return ""
    governors = "/".join(sorted({_text(path / governor) for path in devices} - {""}))
    return ", ".join(filter(None, [f"{_range(now)} of {_range(limits)} MHz", governors]))


def _range(numbers: list[int]) -> str:
    lowest, highest = min(numbers), max(numbers)
    return f"{lowest}" if lowest == highest else f"{lowest}–{highest}"


def _temperatures(root: Path) -> Iterator[str]:
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        millidegrees = _number(zone / "temp")
        if millidegrees > 0:  # a sensor that is switched off says nothing or less
            yield f"{_text(zone / 'type').removesuffix('-thermal')} {millidegrees / 1000:.1f} °C"


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else 0


def _text(path: Path) -> str:
    """A small file's text; "" where it cannot be read, as sensors that are switched off."""
    try:
        return path.read_text(errors="replace").strip(" \n\0")
    except OSError:
        return ""


def _output(command: list[str]) -> str:
    """What a command prints; "" where there is none or it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
