"""What host programs share: an agent, and a note of each event whose `emit` returned.

A note is appended to a file before the program continues, so it is not lost however the
process ends. `HOST_NOTES`: the folder of notes; `HOST_SEED`: of the random timing.
"""

import atexit
import faulthandler
import os
import random
import signal
import time

# Registered before the SDK's function, so it runs after that.
atexit.register(lambda: note_dropped())  # noqa: PLW0108

from semloop import Agent  # noqa: E402
from semloop.agent.session import Session  # noqa: E402

NOTES = os.environ["HOST_NOTES"]
rng = random.Random(int(os.environ["HOST_SEED"]))
# The watchdog asks for the stacks of all threads before it kills the program.
faulthandler.register(signal.SIGUSR1, all_threads=True)
faulthandler.enable()
# Descriptors of notes; usually none stays open, since a program may close all.
kept: dict[str, int] = {}
_agents: list[Agent] = []


def session() -> Session:
    """Return a session of the agent of this program."""
    if not _agents:
        _agents.append(Agent("host"))
    return _agents[0].session("s-1", task="be hostile")


def agent() -> Agent:
    """Return the agent of this program."""
    session()
    return _agents[0]


def emit(text: str = "") -> None:
    """Emit an event, and note it."""
    note("events", session().state_change("next", reason=text))


def note(kind: str, line: object) -> None:
    """Append a line to a file of notes."""
    descriptor = kept.get(kind) or open_notes(kind)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        if kind not in kept:
            os.close(descriptor)


def open_notes(kind: str) -> int:
    """Open a file of notes."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    return os.open(os.path.join(NOTES, kind), flags, 0o600)


def note_dropped() -> None:
    """Note how many events this process has dropped; for its end."""
    for each in _agents:
        note("dropped", each.dropped)


def emit_for(seconds: float) -> None:
    """Emit events, about one in a millisecond, for up to this time."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        emit()
        time.sleep(rng.random() * 0.002)


def pause(seconds_max: float = 0.2) -> None:
    """Sleep for a random time."""
    time.sleep(rng.random() * seconds_max)
