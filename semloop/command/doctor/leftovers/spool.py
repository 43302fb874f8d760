"""Files in the spool without an event: locks, and segments of which all was sent.

A process that is killed leaves its lock, and segments that it had sent but not removed
yet. The lock decides whether it is dead; a daemon may have closed it, so segments also
stay while there is a process with their pid. Files with events, damaged ones included,
are never removed.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from semloop.agent.spool.folder import LOCK, Left, Owner, left_by_all
from semloop.agent.spool.inspection import (
    State,
    contents,
    lock_state,
    other_files,
    pid_of,
    runs,
)
from semloop.command.doctor import Finding, left
from semloop.command.terminal.figures import format_bytes, format_count

CHECK = "spool"


def empty_files(folder: Path) -> Iterator[Finding]:
    """Yield a finding if ended processes left files without events."""
    refused = {_stem(path) for path in other_files(folder).refused}
    listed = [each for each in left_by_all(folder) if each.stem not in refused]
    if found := [each for each in listed if _is_left(folder, each)]:
        owners = format_count(len(found), "process")
        what = f"files without events of {owners} that ended"
        size = format_bytes(sum(each.bytes for each in found))
        fix = lambda: _remove(folder, found)  # noqa: E731
        yield left(CHECK, f"{what} ({size})", fix, "removes them")


def _stem(path: Path) -> str:
    """Return the name of the owner of a file, without the number of a segment."""
    stem = path.name.removesuffix(path.suffix)
    return stem if path.suffix == LOCK else stem.rpartition(".")[0]


def _is_left(folder: Path, found: Left) -> bool:
    if found.paths and runs(pid_of(found.stem)):
        return False
    lock = folder / f"{found.stem}{LOCK}"
    return lock_state(lock) is State.ENDED and _is_spent(found.paths)


def _is_spent(paths: tuple[Path, ...]) -> bool:
    """Return True if no segment has an event, or anything that cannot be read."""
    try:
        return not any(True for path in paths for _ in contents(path))
    except (OSError, ValueError):
        return False


def _remove(folder: Path, found: list[Left]) -> str:
    count = size = 0
    for each in found:
        # It fails if another process sends them by now.
        with contextlib.suppress(OSError):
            owner = Owner(folder, each.stem)
            try:
                segments = tuple(owner.segments())
                if not _is_spent(segments):
                    continue
                for path in segments:
                    path.unlink(missing_ok=True)
            finally:
                owner.remove()
            count, size = count + 1, size + each.bytes
    owners = format_count(count, "process")
    return f"removed files without events of {owners} ({format_bytes(size)})"
