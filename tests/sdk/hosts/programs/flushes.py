"""`flush` with every kind of number, in several threads."""

import math
import threading
import time
from typing import Any

from tests.sdk.hosts.host import agent, emit

TIMEOUTS: list[Any] = [math.nan, -1, -math.inf, 0, -0.0, 1e-300, True, None, "soon"]


def work() -> None:
    """Flush; each call returns."""
    for timeout in TIMEOUTS:
        emit()
        agent().flush(timeout)


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# Without an end: in threads that the end of the program does not wait for.
for timeout in (math.inf, 1e300, 10**400):
    threading.Thread(target=agent().flush, args=(timeout,), daemon=True).start()
time.sleep(0.2)
emit()
