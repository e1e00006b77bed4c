"""What tells one Jetson from another."""

from __future__ import annotations

import re
from pathlib import Path


def l4t_version(root: Path = Path("/")) -> str:
    """The version of a Jetson's Linux, as "36.4.3"; "" where there is none.

    Args:
        root: the folder that holds `etc`.
    """
    try:
        text = (root / "etc/nv_tegra_release").read_text(errors="replace")
    except OSError:
        return ""
    # As NVIDIA writes it: # R36 (release), REVISION: 4.3, GCID: …
    found = re.search(r"R(\d+) .*?REVISION: ([\d.]+)", text)
    return f"{found[1]}.{found[2]}" if found else text.splitlines()[0].strip() if text.strip() else ""
