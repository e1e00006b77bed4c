"""What a board says about itself, read from copies of the files that a Jetson has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.benchmark.board import board_facts, board_state
from mien.benchmark.machine import machine_facts

JETSON = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.68"}, "nvcc": {}}',
    "var/lib/dpkg/status": (
        "Package: libnvinfer10\nStatus: install ok installed\nVersion: 10.3.0.30-1+cuda12.5\n\n"
        "Package: libnvinfer-bin\nStatus: install ok installed\nVersion: 9.9\n\n"
        "Package: libcudnn9-cuda-12\nStatus: install ok installed\nMulti-Arch: same\nVersion: 9.3.0.75-1\n\n"
        "Package: libcudnn8\nStatus: deinstall ok config-files\nVersion: 8.9\n\n"
        "Package: nvidia-jetpack\nStatus: install ok installed\nVersion: 6.2+b77\nDescription: all\n  Version: 1\n"
    ),
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/class/devfreq/17000000.gpu/governor": "nvhost_podgov\n",
    "sys/class/devfreq/15340000.vic/cur_freq": "115200000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48250\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "47031\n",
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "-256000\n",
    # Reading a sensor that is switched off is an error, as reading a folder is.
    "sys/class/thermal/thermal_zone3/temp/is/a/folder": "",
    **{
        f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}": value
        for core, clock in enumerate(("729600", "1510400"))
        for name, value in (
            ("scaling_cur_freq", clock),
            ("scaling_max_freq", "1510400"),
            ("scaling_governor", "schedutil"),
        )
    },
}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where commands are found; none at first."""
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def add_command(folder: Path, name: str, prints: str, status: int = 0) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '{prints}'\nexit {status}\n")
    path.chmod(0o755)


def test_a_jetson_says_what_it_is(tmp_path: Path, commands: Path) -> None:
    add_command(commands, "nvpmodel", r"NVPM VERB: Config file: /etc/nvpmodel.conf\nNV Power Mode: MAXN_SUPER\n2\n")
    assert board_facts(write(tmp_path, JETSON)) == {
        "board": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        "L4T": "36.4.3",
        "power mode": "MAXN_SUPER",
        "CUDA": "12.6.68",
        "TensorRT": "10.3.0.30-1+cuda12.5",
        "cuDNN": "9.3.0.75-1",
        "JetPack": "6.2+b77",
    }


def test_a_jetson_says_how_it_is(tmp_path: Path, commands: Path) -> None:
    assert board_state(write(tmp_path, JETSON)) == {
        "CPU clock": "729–1510 of 1510 MHz, schedutil",
        "GPU clock": "306 of 1020 MHz, nvhost_podgov",
        "temperature": "cpu 48.2 °C, gpu 47.0 °C",
    }


@pytest.mark.parametrize("device", ["17000000.ga10b", "17000000.gpu", "gpu-gpc-0"])
def test_the_gpu_of_every_release_is_found(device: str, tmp_path: Path, commands: Path) -> None:
    root = write(tmp_path, {f"sys/class/devfreq/{device}/{name}": "612000000" for name in ("cur_freq", "max_freq")})
    assert board_state(root) == {"GPU clock": "612 of 612 MHz"}


def test_a_pc_with_a_gpu_says_so(tmp_path: Path, commands: Path) -> None:
    add_command(commands, "nvidia-smi", r"NVIDIA RTX A2000, 580.65.06, 1200 MHz, 41, 70.00 W\n")
    assert board_state(tmp_path) == {"nvidia-smi": "NVIDIA RTX A2000, 580.65.06, 1200 MHz, 41, 70.00 W"}


def test_what_is_not_there_is_left_out(tmp_path: Path, commands: Path) -> None:
    add_command(commands, "nvidia-smi", "NVIDIA-SMI has failed", status=9)
    assert board_facts(tmp_path) == {}
    assert board_state(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cuda": 12}'])
def test_a_damaged_file_is_left_out(text: str, tmp_path: Path, commands: Path) -> None:
    root = write(tmp_path, {"usr/local/cuda/version.json": text, "sys/class/devfreq/a.gpu/cur_freq": text})
    assert board_facts(root) == {}
    assert board_state(root) == {}


def test_a_power_mode_that_only_root_may_ask_for(tmp_path: Path, commands: Path) -> None:
    add_command(commands, "nvpmodel", "", status=1)
    assert board_facts(tmp_path) == {"power mode": "unknown: sudo nvpmodel -q tells"}
    assert machine_facts()["power mode"] == "unknown: sudo nvpmodel -q tells"
