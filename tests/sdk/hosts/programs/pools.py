"""Pools and processes of `multiprocessing`, by each way of starting them."""

import multiprocessing
import sys
from typing import Any

from tests.sdk.hosts.host import emit, pause, rng

JOBS = 12


def job(_: int) -> None:
    """Emit in a worker."""
    emit()


def child() -> None:
    """Emit in a process, and end with an exit status."""
    for _ in range(5):
        emit()
    pause(0.05)
    sys.exit(5)


if __name__ == "__main__":
    context: Any = multiprocessing.get_context(sys.argv[1])
    if rng.random() < 0.5:
        emit()
        pause()
    process = context.Process(target=child)
    process.start()
    with context.Pool(2) as pool:
        pool.map(job, range(JOBS), chunksize=1)
    process.join()
    assert process.exitcode == 5, process.exitcode
    emit()
