"""Stack check: processes and files of a local stack whose supervisor is dead.

Processes are found by the mark in their environment, which has the id of the lake, so
neither those of a copy nor others with an old pid are taken for them. Nothing is looked
at while a supervisor has the lock.
"""

from collections.abc import Iterator
from pathlib import Path

from semloop.command.doctor import Finding, left, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.stack.process import Process
from semloop.command.stack.state import LocalFolder
from semloop.command.terminal.figures import format_count, format_list
from semloop.errors import LakeError
from semloop.local.identity import LAKE_FILE
from semloop.local.lock import LOCK_FILE, alone, is_held
from semloop.local.stack_file import STACK_FILE

CHECK = "stack"
# Time for a process to end.
END_S = 10.0
DRAFTS = (f"{STACK_FILE}.part", f"{LAKE_FILE}.part", f"{LOCK_FILE}.part")


def check(context: CheckContext) -> Iterator[Finding]:
    """Look for processes with the mark of the lake, and for files of their stack."""
    settings = context.require_settings()
    if settings.on_s3:
        yield ok(CHECK, "a lake on S3 has no local stack")
        return
    folder = LocalFolder.of(settings)
    if not folder.path.is_dir():
        yield ok(CHECK, "no stack was ever started for this lake")
        return
    if holder := folder.moved_supervisor():
        found = f"the stack of {holder.lake.path}, from where the lake was moved, "
        found += f"still runs (supervisor: pid {holder.pid})"
        todo = f"It ends by itself within two minutes; else: `kill {holder.pid}`."
        yield warn(CHECK, found, todo)
    elif folder.is_locked():
        yield ok(CHECK, "a supervisor of this lake runs")
    elif processes := folder.orphans():
        yield _outlived(folder, processes)
    elif files := _stale(folder.path):
        names = format_list([path.name for path in files])
        found = f"{names} of a stack that ended without `semloop down`"
        fix = lambda: _remove(folder.path)  # noqa: E731
        yield left(CHECK, found, fix, "removes what it left")
    else:
        yield ok(CHECK, "no stack runs, and none left anything")


def _outlived(folder: LocalFolder, processes: list[Process]) -> Finding:
    found = f"{_listed(processes)} of this lake outlived the supervisor"
    does = "stops them; `semloop up` starts the stack again, with all records"
    return left(CHECK, found, lambda: _stop(folder), does)


def _stop(folder: LocalFolder) -> str:
    """Stop the processes; no stack can start meanwhile.

    The next one reads what is not in the lake yet from the log of their broker.

    Raises:
        LakeError: a supervisor runs by now.
    """
    with folder.lock() as lock:
        if lock is None:
            msg = "A supervisor of this lake runs by now."
            raise LakeError(msg, "Run `semloop doctor` again.")
        processes = folder.orphans()
        for process in processes:
            process.stop(END_S)
        folder.clear()
    return f"stopped {_listed(processes)}"


def _listed(processes: list[Process]) -> str:
    count = format_count(len(processes), "process")
    pids = format_list([str(process.pid) for process in processes])
    return f"{count} (pid {pids})"


def _stale(local: Path) -> list[Path]:
    return [p for p in (local / n for n in (STACK_FILE, *DRAFTS)) if p.exists()]


def _remove(local: Path) -> str:
    """Remove the files, unless a supervisor has started."""
    # While this is held, none can take the lock.
    with alone(local):
        if is_held(local):
            return "nothing removed: a supervisor of this lake runs by now"
        files = _stale(local)
        for path in files:
            path.unlink(missing_ok=True)
    return f"removed {format_list([path.name for path in files]) or 'nothing'}"
