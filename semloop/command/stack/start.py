"""Waits for the local stack to start and reports why it did not."""

import subprocess
import time
from pathlib import Path

from semloop.command.stack.departure import REST_S
from semloop.command.stack.state import SUPERVISOR, LocalFolder, Stack
from semloop.command.stack.supervisor import LOCKED_CODE
from semloop.command.terminal.progress import POLL_S, spinner, wait_until
from semloop.errors import LakeError, SemLoopError, Terminal
from semloop.local.marks import mark

# The supervisor allows the broker 30 s to listen and 30 s to answer.
START_S = 70.0
LAST_LINES = 6
# More than the time in which a stack whose lake was moved saves its records.
MOVED_S = REST_S + 30.0


def ready(
    supervisor: "subprocess.Popen[bytes]", folder: LocalFolder, since: int
) -> Stack:
    """Wait until broker and flows are started.

    Raises:
        SemLoopError: the stack ended, or did not start in time.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        code = supervisor.poll()
        if code == LOCKED_CODE:
            refuse_second(folder)
        if code is not None:
            raise failed(
                folder.log("supervisor"), since, "The local stack failed to start"
            )
        stack = folder.read()
        if stack and stack.pid == supervisor.pid and stack.ready:
            return stack
        time.sleep(POLL_S)
    msg = f"The local stack did not start within {START_S:g} s."
    raise Terminal(msg, f"See {folder.log('supervisor')} and {folder.log('broker')}.")


def supervisor_mark(folder: LocalFolder) -> dict[str, str]:
    """Return the mark of the supervisor to start; the lake gets an identity.

    Raises:
        LakeError: a stack is already running, or the one of the lake's former place.
    """
    _wait_for_moved(folder)
    try:
        with folder.lock() as lock:
            if lock is not None:
                return mark(lock.lake.id, SUPERVISOR)
    except OSError as error:
        msg = f"The folder {folder.path} cannot be used: {error.strerror}."
        todo = "Run `semloop up` as the user who owns it, or set SEMLOOP_LAKE."
        raise LakeError(msg, todo) from None
    refuse_second(folder)
    msg = f"Another process has the lock of the lake {folder.path.parent}."
    raise LakeError(msg, "Try again in a moment.")


def _wait_for_moved(folder: LocalFolder) -> None:
    """Wait for the stack that ends because the folder was moved while it ran."""
    if folder.moved_supervisor() is None:
        return
    with spinner("Waiting for the stack of the lake's former place to end ..."):
        wait_until(lambda: folder.moved_supervisor() is None, MOVED_S)
    if holder := folder.moved_supervisor():
        msg = f"The stack of {holder.lake.path}, which is now {folder.path.parent}, "
        msg += f"still runs (supervisor: pid {holder.pid})."
        raise LakeError(msg, f"Stop it: `kill {holder.pid}`. Then run `semloop up`.")


def refuse_second(folder: LocalFolder) -> None:
    """Check that no stack runs for this lake.

    Raises:
        LakeError: a stack is already running.
    """
    if not folder.is_locked():
        return
    stack = folder.read()
    where = f", with Kafka at {stack.kafka}" if stack else ""
    msg = f"SemLoop is already running for the lake {folder.path.parent}{where}."
    raise LakeError(msg, "Show it: `semloop status`. Stop it: `semloop down`.")


def failed(log: Path, since: int, what: str) -> SemLoopError:
    """Return the error of a process that ended, with the last lines of its log.

    Args:
        log: the log of the process.
        since: offset in the log at which the process started.
        what: what failed; the start of the error message.
    """
    with log.open("rb") as file:
        file.seek(since if since <= size_of(log) else 0)
        lines = file.read().decode("utf-8", "replace").splitlines()
    # Log lines are JSON or begin with the time; all others are error messages.
    errors = [line for line in lines if line.strip() and line[0] not in "{0123456789"]
    msg = "\n".join([f"{what}{':' if errors else '.'}", *errors[-LAST_LINES:]])
    return Terminal(msg, f"All processes were stopped. Full log: {log}.")


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0
