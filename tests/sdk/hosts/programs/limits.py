"""The host has no descriptors, no threads, or no working folder left."""

import _thread
import os
import resource
import sys
from typing import Any

from tests.sdk.hosts.host import agent, emit, emit_for, kept, open_notes, pause

how = sys.argv[1]
opened = []


def refused(*_: Any, **__: Any) -> int:
    """Raise what `start_new_thread` raises if there are too many threads."""
    msg = "can't start new thread"
    raise RuntimeError(msg)


if how == "descriptors":
    emit()
    for kind in ("events", "dropped"):
        kept[kind] = open_notes(kind)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
if how == "threads":
    _thread.start_new_thread = refused
if how == "folder":
    agent()
    os.mkdir("removed")
    os.chdir("removed")
    os.rmdir("../removed")
pause()
for _ in range(30):
    emit("x" * 10_000)
emit_for(0.1)
flushed = agent().flush(0.05)
# Elsewhere there is no thread, or no descriptor, that could send.
assert not flushed or how == "folder"
