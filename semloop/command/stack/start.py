"""Waiting for the local stack to start, and what ended when it does not."""

import subprocess
import time
from pathlib import Path

from semloop.command.stack.state import LocalFolder, Stack
from semloop.command.stack.supervisor import LOCKED_CODE
from semloop.command.terminal.progress import LOOK_S
from semloop.errors import LakeError, SemLoopError, Terminal

# The supervisor gives the broker 30 s to listen and 30 s to answer.
START_S = 70.0
LAST_LINES = 6


def ready(
    supervisor: "subprocess.Popen[bytes]", folder: LocalFolder, since: int
) -> Stack:
    """Wait until everything is started."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        code = supervisor.poll()
        if code == LOCKED_CODE:
            refuse_second(folder)
        if code is not None:
            raise failed(
                folder.log("supervisor"), since, "The local stack ended at its start"
            )
        stack = folder.read()
        if stack and stack.pid == supervisor.pid and stack.ready:
            return stack
        time.sleep(LOOK_S)
    msg = f"The local stack did not start within {START_S:g} s."
    raise Terminal(msg, f"See {folder.log('supervisor')} and {folder.log('broker')}.")


def refuse_second(folder: LocalFolder) -> None:
    """Refuse to start where a stack runs already.

    Raises:
        LakeError: it does.
    """
    if not folder.is_locked():
        return
    stack = folder.read()
    where = f", with Kafka at {stack.kafka}" if stack else ""
    msg = f"SemLoop already runs for the lake {folder.path.parent}{where}."
    raise LakeError(msg, "Use it: `semloop status`. Stop it: `semloop down`.")


def failed(log: Path, since: int, what: str) -> SemLoopError:
    """What ended, in its own last words.

    Args:
        log: what it wrote.
        since: where in its log it began.
        what: what ended and when, the first words of the error.
    """
    with log.open("rb") as file:
        file.seek(since if since <= size_of(log) else 0)
        lines = file.read().decode("utf-8", "replace").splitlines()
    # Logs are JSON or begin with the time; errors are sentences.
    said = [line for line in lines if line.strip() and line[0] not in "{0123456789"]
    msg = "\n".join([f"{what}{':' if said else '.'}", *said[-LAST_LINES:]])
    return Terminal(msg, f"Nothing runs now; all it said is in {log}.")


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
