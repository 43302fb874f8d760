"""C code forks, which calls no hook of Python; the children emit, flush and exit.

Python itself hangs in such a child if, at the time of the fork, another thread waits for
the interpreter's lock. So the program forks when the thread that sends has nothing to do.
"""

import ctypes
import math
import os
import sys
import time

from tests.sdk.hosts.host import agent, emit, emit_for

LIBC = ctypes.PyDLL(None)

for number in range(4):
    emit_for(0.02)
    assert agent().flush(30)
    time.sleep(0.1)
    pid = LIBC.fork()
    if not pid:
        if number % 2:
            emit()
        # Without an event to wait for, it returns immediately.
        agent().flush(math.nan if number % 2 else math.inf)
        if number == 0:
            os._exit(0)
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    emit()
