"""Threads fork at any moment; the children emit and end in several ways."""

import os
import sys
import threading

from tests.sdk.hosts.host import agent, emit, emit_for, pause, rng

FORKS = 3


def child(number: int) -> None:
    """Emit in a forked child, and end it."""
    emit()
    emit()
    if number % 3 == 0:
        os._exit(0)
    if number % 3 == 1:
        agent().flush(0.05)


def fork_often() -> None:
    """Fork a few times; wait for each child."""
    for number in range(FORKS):
        emit()
        pause(0.03)
        pid = os.fork()
        if not pid:
            child(number)
            # The end of the only thread ends the process.
            sys.exit(0)
        emit()
        _, status = os.waitpid(pid, 0)
        assert status == 0, status


for _ in range(rng.randrange(2)):
    emit()
threads = [threading.Thread(target=fork_often) for _ in range(3)]
for thread in threads:
    thread.start()
emit_for(0.2)
for thread in threads:
    thread.join()
fork_often()
