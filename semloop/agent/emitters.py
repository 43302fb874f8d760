"""The emitters of this process: found by their settings, closed at its end.

A process ends its emitters in `atexit`, or in the exit function of `multiprocessing`;
a forked child starts with new ones.
"""

import atexit
import os
import sys

from semloop.agent.emitter import Emitter
from semloop.settings import Settings
from semloop.settings.model import setting_fields

_emitters: dict[tuple[object, ...], Emitter] = {}


def emitter_of(settings: Settings) -> Emitter:
    """Return the process-wide emitter for broker, credentials, topic and spool."""
    prefixes = ("kafka", "lake", "topic", "spool", "agent_")
    names = [n for n in setting_fields() if n.startswith(prefixes)]
    key = tuple(settings.value(name) for name in names)
    found = _emitters.get(key)
    if found is not None:
        return found
    # No lock: of two emitters that are created at the same time, only one is used.
    return _emitters.setdefault(key, Emitter(settings, close_at_exit))


def close_at_exit() -> None:
    """Close in child processes of `multiprocessing`, which do not run `atexit`."""
    if util := sys.modules.get("multiprocessing.util"):
        util.Finalize(None, close_all, exitpriority=0)


def close_all() -> None:
    """Send what is left, each emitter for at most its `SEMLOOP_AGENT_FLUSH_S`."""
    emitters = [emitter for emitter in tuple(_emitters.values()) if not emitter.closed]
    for emitter in emitters:
        emitter.begin_close()
    for emitter in emitters:
        emitter.end_close()


def _after_fork() -> None:
    for emitter in tuple(_emitters.values()):
        emitter.after_fork()


atexit.register(close_all)
os.register_at_fork(after_in_child=_after_fork)
