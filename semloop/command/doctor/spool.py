"""Spool check: unsent events that ended processes left behind."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semloop.agent.spool import SUFFIX
from semloop.command.doctor import Finding, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_bytes, format_count

CHECK = "spool"
PIECE_BYTES = 2**20


@dataclass
class Unsent:
    """Unsent events in a group of spool files."""

    files: int = 0
    events: int = 0
    bytes_: int = 0

    def __str__(self) -> str:
        files = format_count(self.files, "file")
        events = format_count(self.events, "event")
        return f"{events} ({format_bytes(self.bytes_)}, {files})"


def check(context: CheckContext) -> Iterator[Finding]:
    """Count the events; files are not adopted, moved or sent."""
    folder = Path(os.path.expanduser(context.require_settings().agent.spool))
    orphaned, active, unreadable = Unsent(), Unsent(), 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            _count(path, orphaned, active)
        except FileNotFoundError:
            continue  # sent and removed in the meantime
        except OSError:
            unreadable += 1
    if active.files:
        found = f"{active} of running processes, not yet acknowledged by the broker"
        yield ok(CHECK, found)
    if orphaned.files:
        todo = (
            "Start a `semloop.Agent` for the same broker and topic, which sends them, "
        )
        todo += f"or run: semloop import {folder}/FILE --format events"
        yield warn(CHECK, f"{orphaned} of ended processes were not sent", todo)
    if unreadable:
        todo = "Run `semloop doctor` as the user who runs the agents."
        yield warn(CHECK, f"{format_count(unreadable, 'file')} cannot be read", todo)
    if not (active.files or orphaned.files or unreadable):
        yield ok(CHECK, f"no unsent events in {folder}")


def _count(path: Path, orphaned: Unsent, active: Unsent) -> None:
    # Do not lock an empty file: its process may be creating it.
    if not path.stat().st_size:
        return
    with path.open("rb") as file:
        try:
            # A shared lock, released immediately, so that the owner is not disturbed.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            unsent = orphaned
        except BlockingIOError:
            unsent = active
        unsent.files += 1
        while piece := file.read(PIECE_BYTES):
            unsent.events += piece.count(b"\n")
            unsent.bytes_ += len(piece)
