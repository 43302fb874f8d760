"""What a process frees goes back to the system, in spite of what stays in between."""

import platform
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        platform.libc_ver()[0] != "glibc", reason="the allocator of glibc"
    ),
]

# glibc raises the size from which it returns memory immediately to that of the first one.
FRAGMENTED = """
import time
from flows import process_memory as memory

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

{before}
first = bytearray(30 * 2**20)
del first
before = resident_mb()
large, small = [], []
for _ in range(200):
    large.append(b"x" * 2**20)
    small.append(b"x" * 100_000)
full = resident_mb()
del large
print(full - before, resident_mb() - before)
"""


def grown_mb(before: str) -> tuple[float, float]:
    """Return by how much the process has grown with 220 MB, and after it freed 200."""
    code = FRAGMENTED.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    full, left = done.stdout.split()
    return float(full), float(left)


def test_the_process_keeps_freed_memory_without_bounds() -> None:
    full, left = grown_mb("")
    assert (full > 180, left > 100) == (True, True)


def test_freed_memory_is_returned_with_them() -> None:
    full, left = grown_mb("memory.bound_maintenance_memory()")
    assert (full > 180, left < 60) == (True, True)
