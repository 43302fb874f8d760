"""Threads emit at the same time; some end by `sys.exit`, daemons never end."""

import sys
import threading

from tests.sdk.hosts.host import emit, emit_for, pause, rng


def work(number: int) -> None:
    """Emit, then end in one of several ways."""
    emit_for(0.1)
    if number % 4 == 1:
        sys.exit(3)
    while number % 4 == 2:
        emit_for(1)


threads = [
    threading.Thread(target=work, args=(n,), daemon=n % 4 == 2) for n in range(8)
]
for thread in threads:
    thread.start()
    pause(0.01)
# Many programs wait for all threads like this; those of a library are among them.
for thread in threading.enumerate():
    if thread is not threading.main_thread() and not thread.daemon:
        thread.join()
emit()
sys.exit(rng.choice([0, None]))
