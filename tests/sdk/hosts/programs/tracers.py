"""A debugger, a profiler: their functions emit at each line, call and return."""

import sys
import threading
from types import FrameType
from typing import Any

from semloop.agent.spool.writer import Writer
from tests.sdk.hosts.host import emit, rng


def trace(frame: FrameType, event: str, argument: object) -> Any:
    """Emit at some of the lines; of those that store an event, at each."""
    frame.f_trace_lines = True
    if frame.f_code is Writer.append.__code__ or rng.random() < 0.003:
        emit()
    return trace


def profile(frame: FrameType, event: str, argument: object) -> None:
    """Emit at some of the calls and returns."""
    if frame.f_code is Writer.append.__code__ or rng.random() < 0.003:
        emit()


def work() -> None:
    """Emit under the tool that is set."""
    for _ in range(15):
        emit()


emit()
for start in (sys.settrace, sys.setprofile):
    start(trace if start is sys.settrace else profile)
    try:
        work()
    finally:
        start(None)
threading.setprofile(profile)
thread = threading.Thread(target=work)
thread.start()
work()
thread.join()
threading.setprofile(None)
