"""With the heap kept, tensors made again and again fault their pages in once."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from models.heap import keep_freed_memory
if "keep" in sys.argv:
    assert keep_freed_memory()
for _ in range(20):
    torch.ones(16 * 2**20)  # 64 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize())
"""


def faulted(*words: str) -> int:
    """Bytes of the pages that a process of its own got from the system."""
    return int(subprocess.run([sys.executable, "-c", FAULTS, *words], check=True, capture_output=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's heap")
def test_freed_tensors_are_not_handed_back_to_the_system():
    saved = faulted() - faulted("keep")
    assert saved > 10 * 64 * 2**20  # of the 19 that were made again
