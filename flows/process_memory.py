"""Bounds what a process keeps of the memory that its libraries have freed.

The allocator of glibc keeps freed memory, a part for each thread. LanceDB allocates and
frees megabytes in many threads, so a process grows long after its data have stopped to.
Other C libraries, without these functions, are left as they are.
"""

import ctypes
import os
from collections.abc import Callable

# Options of glibc's `mallopt`: size of the free end of a part that is returned; size
# from which an allocation is returned as soon as it is freed; number of parts.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
ARENAS = 1
# The value with which glibc begins. It raises its own with what is freed, to 32 MiB.
LARGE_BYTES = 128 * 1024
# Each thread of LanceDB has a batch of rows in memory. The work of several is not done
# sooner on the few processors of a small machine, which also runs the flows.
LANCE_THREADS = {"LANCE_CPU_THREADS": "1", "LANCE_IO_THREADS": "2"}


def bound_maintenance_memory() -> None:
    """Make this process return freed memory immediately, and LanceDB use fewer threads.

    Call it before LanceDB is imported. Allocations take longer: it is meant for a
    process that maintains memories and ends.
    """
    for name, threads in LANCE_THREADS.items():
        os.environ.setdefault(name, threads)
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, LARGE_BYTES)


def _function(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None)
