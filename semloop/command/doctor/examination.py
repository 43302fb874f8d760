"""Runs the checks, each with a bound: none can end or hold up the others."""

import importlib
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from semloop.command.doctor import CHECKS, Finding, Skipped, fail, skip
from semloop.command.doctor.context import Known
from semloop.errors import SemLoopError, unexpected

# The clients of broker and store give up by themselves after about as long.
BOUND_S = 12.0
# A check that was given up may still have something to remove.
CLEAN_UP_S = 15.0

Check = Callable[[Known], Iterable[Finding]]


class Examination:
    """A context manager: at its end it waits for what a late check has to remove."""

    def __init__(
        self, known: Known, bound_s: float = BOUND_S, clean_up_s: float = CLEAN_UP_S
    ) -> None:
        """Nothing is looked at yet.

        Args:
            known: what the checks find out for each other.
            bound_s: a check that takes longer has failed.
            clean_up_s: at the end, for all checks together that are still running.
        """
        self._known = known
        self._bound_s = bound_s
        self._clean_up_s = clean_up_s
        self._ends: list[threading.Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        deadline_s = time.monotonic() + self._clean_up_s
        for ended in self._ends:
            ended.wait(max(0.0, deadline_s - time.monotonic()))

    def run(self, name: str) -> list[Finding]:
        """What a check finds, at least one thing; it never raises what a check does."""
        findings: list[Finding] = []
        # Not `join`: Python 3.11 takes a thread for ended once Ctrl-C interrupts that.
        ended = threading.Event()
        # A thread, since a client that waits for an answer cannot be interrupted.
        thread = threading.Thread(
            target=self._collect, args=(name, findings, ended), name=name, daemon=True
        )
        self._ends.append(ended)
        thread.start()
        in_time = ended.wait(self._bound_s)
        found = list(findings)
        if not in_time:
            todo = "Try again; if it stays so, look at what it waits for: the network?"
            found.append(fail(name, f"Not done within {self._bound_s:g} s.", todo))
        return found

    def _collect(
        self, name: str, findings: list[Finding], ended: threading.Event
    ) -> None:
        try:
            module, _, function = CHECKS[name].partition(":")
            check: Check = getattr(importlib.import_module(module), function)
            for finding in check(self._known):
                findings.append(finding)
        except Skipped as reason:
            findings.append(skip(name, reason.reason, reason.todo))
        except BaseException as error:  # a panic of a Rust library is no Exception
            findings.append(_told(name, error))
        finally:
            ended.set()


def _told(name: str, error: BaseException) -> Finding:
    if isinstance(error, SemLoopError):
        return fail(name, error.what, error.todo or "See docs/reliability.md.")
    if isinstance(error, ModuleNotFoundError):
        msg = f"The package {error.name!r} is not installed."
        return fail(name, msg, "Run: pip install 'semloop[all]'")
    msg = f"{unexpected(error)}."
    return fail(name, msg, "Report it, with this line and `semloop --version`.")
