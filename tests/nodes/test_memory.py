"""Freed blocks of image size are used again instead of being fetched from the system anew."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMAGES = 50
# 1280x720 in colour; two at a time, as when one image arrives while another is read.
CODE = """
import resource
import numpy as np
{call}
def images(count):
    for _ in range(count):
        one, other = (np.ones(2764800, np.uint8) for _ in range(2))
images(5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
images({images})
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(call: str) -> int:
    code = CODE.format(call=call, images=IMAGES)
    return int(subprocess.check_output([sys.executable, "-c", code], text=True))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_large_blocks_are_kept() -> None:
    kept = page_faults("from mien.nodes.memory import keep_large_blocks; keep_large_blocks()")
    assert kept < IMAGES
    # Without the call the test must fail, or it shows nothing.
    assert page_faults("") > 100 * IMAGES
