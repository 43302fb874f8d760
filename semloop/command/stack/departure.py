"""What a stack does when its lake is no longer where it was: it ends.

Its processes have the path of the lake, so they would continue in another folder, or
make a new one. The records that only the embedded broker has are written into the lake
at its new place first.
"""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from semloop.flow_registry import ARCHIVE
from semloop.settings import PREFIX

# Records of the last second are usual. What `archive` cannot write in this time waits
# for a store or a key that is missing.
REST_S = 60.0
POLL_S = 0.05
LOG = f"{ARCHIVE.name}.log"


def leave(
    local: Path | None,
    rest: list[str] | None,
    environ: Mapping[str, str],
    stopping: Callable[[], bool],
    report: Callable[[str], None],
) -> None:
    """Write what the broker still has into the lake at its new place.

    Args:
        local: the lake's folder `_local` at its new place; None if it is gone.
        rest: command that runs `archive` until it has caught up; None without a
            broker of the stack's own, whose records end with it.
        environ: of the flows of the stack.
        stopping: returns True if the stack must end immediately.
        report: logs a line.
    """
    former = environ[f"{PREFIX}LAKE"]
    where = "is gone" if local is None else f"is now {local.parent}"
    report(f"The lake was moved or deleted: {former} {where}.")
    if Path(former).exists():
        # A flow that was making its tables at that moment made the folder again. It is
        # not removed here, since it may also be a lake that took this one's place.
        report(
            f"{former} exists again: delete it if you put nothing there; what a flow "
            "wrote there after the move is written again from the broker."
        )
    if rest is None:
        return
    if local is None:
        report("Records that only the broker had are lost with it.")
    elif not _succeeds(rest, local, environ, stopping):
        report(
            "Records that are not in the lake yet are in the broker's log, which the "
            f"next `semloop up` reads; see {local / LOG}."
        )


def _succeeds(
    command: list[str],
    local: Path,
    environ: Mapping[str, str],
    stopping: Callable[[], bool],
) -> bool:
    own = {**environ, f"{PREFIX}LAKE": str(local.parent)}
    try:
        with (local / LOG).open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=own
            )
    except OSError:
        return False
    deadline = time.monotonic() + REST_S
    while process.poll() is None and time.monotonic() < deadline and not stopping():
        time.sleep(POLL_S)
    if process.poll() is None:
        process.kill()
        process.wait()
    return process.returncode == 0
