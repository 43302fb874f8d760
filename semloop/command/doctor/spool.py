"""The spool: events of dead processes that wait for somebody to send them."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semloop.agent.spool import SUFFIX
from semloop.command.doctor import Finding, ok, warn
from semloop.command.doctor.context import Known
from semloop.command.terminal.figures import format_bytes, format_count

CHECK = "spool"
PIECE_BYTES = 2**20


@dataclass
class Waiting:
    """What waits in files of one sort."""

    files: int = 0
    events: int = 0
    bytes_: int = 0

    def __str__(self) -> str:
        files = format_count(self.files, "file")
        events = format_count(self.events, "event")
        return f"{events} ({format_bytes(self.bytes_)}, {files})"


def check(known: Known) -> Iterator[Finding]:
    """Count; nothing is adopted, moved or sent."""
    folder = Path(os.path.expanduser(known.need_settings().agent.spool))
    dead, live, closed = Waiting(), Waiting(), 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            _count(path, dead, live)
        except FileNotFoundError:
            continue  # sent meanwhile
        except OSError:
            closed += 1
    if live.files:
        found = f"running processes keep {live} until the broker takes them"
        yield ok(CHECK, found)
    if dead.files:
        todo = "The next `semloop.Agent` for their broker and topic sends them, "
        todo += f"or: semloop import {folder}/FILE --format events"
        yield warn(CHECK, f"dead processes left {dead}", todo)
    if closed:
        todo = "Run `semloop doctor` as the user who runs the agents."
        yield warn(CHECK, f"{format_count(closed, 'file')} cannot be read", todo)
    if not (live.files or dead.files or closed):
        yield ok(CHECK, f"nothing waits in {folder}")


def _count(path: Path, dead: Waiting, live: Waiting) -> None:
    # A file without events is not locked here: its process may be just making it.
    if not path.stat().st_size:
        return
    with path.open("rb") as file:
        try:
            # Shared, and for a moment: as long as it takes to find out.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            waiting = dead
        except BlockingIOError:
            waiting = live
        waiting.files += 1
        while piece := file.read(PIECE_BYTES):
            waiting.events += piece.count(b"\n")
            waiting.bytes_ += len(piece)
