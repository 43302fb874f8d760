"""C code forks, which calls no hook of Python; the children emit, flush and exit."""

import ctypes
import math
import os
import sys
import time

from tests.sdk.hosts.host import agent, emit, emit_for, pause

LIBC = ctypes.PyDLL(None)

emit()
pause()
for number in range(4):
    emit_for(0.02)
    pid = LIBC.fork()
    if not pid:
        if number % 2:
            emit()
        begin_s = time.monotonic()
        agent().flush(0.1 if number < 2 else math.inf if number == 4 else 0.3)
        if number == 0:
            os._exit(0)
        sys.exit(0)
    begin_s = time.monotonic()
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    emit()
