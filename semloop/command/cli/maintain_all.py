"""Runs the scheduled flows one after the other, for `semloop maintain all`."""

import math
import time
from collections.abc import Callable, Mapping

from semloop.command.terminal.printing import note
from semloop.errors import LakeError, SemLoopError
from semloop.flow_registry import SCHEDULED
from semloop.settings import Settings

Runs = Mapping[str, Callable[[], None]]


def run_once(runs: Runs) -> None:
    """Run every scheduled flow, in order; one that fails stops no other.

    Args:
        runs: name of a flow -> what runs it.

    Raises:
        LakeError: a flow failed; its error was reported.
    """
    failed = [name for name in SCHEDULED if not _run(name, runs[name])]
    if failed:
        msg = f"Maintenance failed: {', '.join(failed)}."
        raise LakeError(msg, "See the errors above; the other flows have run.")


def run_repeatedly(settings: Settings, runs: Runs, every_s: float) -> None:
    """Run every scheduled flow when its own setting says that it is due.

    Args:
        settings: the intervals.
        runs: name of a flow -> what runs it.
        every_s: seconds between two looks at what is due.
    """
    due_s = dict.fromkeys(SCHEDULED, 0.0)
    while True:
        for name, flow in SCHEDULED.items():
            interval_s = settings.value(flow.every) or math.inf
            if time.monotonic() >= due_s[name] and interval_s < math.inf:
                _run(name, runs[name])
                due_s[name] = time.monotonic() + interval_s
        time.sleep(every_s)


def _run(name: str, run: Callable[[], None]) -> bool:
    try:
        run()
    except SemLoopError as error:
        note(f"{name}: {error.what} {error.todo}")
        return False
    return True
