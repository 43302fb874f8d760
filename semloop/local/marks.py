"""The mark in the environment of every process of a local stack: the id of its lake.

A pid in a file may be that of another process by now, and the start time of a process
changes with the clock. The mark does neither, and is not copied with a folder.
"""

import os
from pathlib import Path
from typing import NamedTuple

MARK = "SEMLOOP_STACK"
PROCESSES = Path("/proc")


class Marked(NamedTuple):
    """A process of a stack: its pid, its name in the stack, and its environment."""

    pid: int
    name: str
    environ: dict[str, str]


def mark(lake_id: str, name: str) -> dict[str, str]:
    """Return the variable that marks a process of a lake's stack."""
    return {MARK: f"{lake_id}/{name}"}


def has_mark(pid: int, lake_id: str) -> bool | None:
    """Return whether a process belongs to the lake's stack; None if it is not known.

    It is not known for processes of other users, and on systems without `/proc`.
    """
    if not PROCESSES.is_dir():
        return None
    try:
        return _marked(pid, lake_id) is not None
    except PermissionError:
        return None


def marked_processes(lake_id: str) -> list[Marked]:
    """Return this user's processes with the mark; none on systems without `/proc`."""
    found = []
    for name in os.listdir(PROCESSES) if PROCESSES.is_dir() else ():
        try:
            process = _marked(int(name), lake_id) if name.isdigit() else None
        except PermissionError:
            continue
        if process is not None:
            found.append(process)
    return found


def _marked(pid: int, lake_id: str) -> Marked | None:
    """Return a process if it has the mark.

    Raises:
        PermissionError: it is another user's.
    """
    try:
        data = (PROCESSES / str(pid) / "environ").read_bytes()
    except PermissionError:
        raise
    except OSError:  # it has ended
        return None
    if f"{MARK}={lake_id}/".encode() not in data:
        return None
    pairs = (entry.partition("=") for entry in os.fsdecode(data).split("\0"))
    environ = {name: value for name, _, value in pairs}
    found_id, _, name = environ.get(MARK, "").partition("/")
    return Marked(pid, name, environ) if found_id == lake_id else None
