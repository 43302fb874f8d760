"""The program emits and flushes, then waits for a file; twice."""

import os
import time

from tests.sdk.hosts.host import agent, emit_for, note

for name in ("first", "second"):
    emit_for(0.2)
    note("flushes", agent().flush(40))
    while not os.path.exists(name):
        time.sleep(0.01)
