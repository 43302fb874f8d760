"""Handlers and filters of the host's logs emit, flush, fork, raise and exit."""

import logging
import os
import sys
import threading

from tests.sdk.hosts.host import agent, emit, emit_for, note, pause


class Emits(logging.Handler):
    """Emits and flushes for each line of the log."""

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()
        emit(how)
        agent().flush(0.01)
        if how == "raises":
            msg = "a handler that does not catch its errors"
            raise RuntimeError(msg)
        if how == "exits" and threading.current_thread() is not threading.main_thread():
            sys.exit(1)
        if how == "waits" and threading.current_thread() is not threading.main_thread():
            ending.wait()
        if how == "forks" and not (pid := os.fork()):
            emit()
            # With a full spool the event is in memory only, and ends with the process.
            note("dropped", agent().stats().in_memory)
            os._exit(0)
        elif how == "forks":
            os.waitpid(pid, 0)


how = sys.argv[1]
ending = threading.Event()
logging.getLogger().addHandler(Emits())
if how == "raises":
    logging.getLogger("semloop").addFilter(lambda _: 1 / 0 > 0)
emit()
agent().session(object())
pause()
# Large events: the queue and the spool are full soon.
for _ in range(60):
    emit("x" * 100_000)
emit_for(0.2)
for thread in threading.enumerate():
    if thread is not threading.main_thread() and how != "waits":
        thread.join()
ending.set()
