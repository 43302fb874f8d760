"""Runs the checks, each with a timeout: none can end or delay the others."""

import importlib
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from semloop.command.doctor import CHECKS, REPORT, Finding, Skipped, fail, skip
from semloop.command.doctor.context import CheckContext
from semloop.errors import SemLoopError, unexpected
from semloop.extras import install_todo

# Slightly longer than the timeouts of the Kafka and storage clients.
TIMEOUT_S = 12.0
# A check that timed out may still have files to remove.
CLEAN_UP_S = 15.0

Check = Callable[[CheckContext], Iterable[Finding]]


class CheckRunner:
    """A context manager that waits on exit for late checks to remove their files."""

    def __init__(
        self,
        context: CheckContext,
        timeout_s: float = TIMEOUT_S,
        clean_up_s: float = CLEAN_UP_S,
    ) -> None:
        """Run no check yet.

        Args:
            context: shared by the checks.
            timeout_s: a check that takes longer fails.
            clean_up_s: maximum wait on exit, for all checks that still run together.
        """
        self._context = context
        self._timeout_s = timeout_s
        self._clean_up_s = clean_up_s
        self._finished: list[threading.Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        deadline_s = time.monotonic() + self._clean_up_s
        for finished in self._finished:
            finished.wait(max(0.0, deadline_s - time.monotonic()))

    def run(self, name: str) -> list[Finding]:
        """Return the findings of a check, at least one; its errors become findings."""
        findings: list[Finding] = []
        # Not `join`: after Ctrl-C interrupts it, Python 3.11 takes the thread for
        # finished.
        finished = threading.Event()
        # A thread, since a client that waits for a response cannot be interrupted.
        thread = threading.Thread(
            target=self._collect,
            args=(name, findings, finished),
            name=name,
            daemon=True,
        )
        self._finished.append(finished)
        thread.start()
        in_time = finished.wait(self._timeout_s)
        found = list(findings)
        if not in_time:
            msg = f"Timed out after {self._timeout_s:g} s."
            todo = "Run it again; if it times out again, check the network."
            found.append(fail(name, msg, todo))
        return found

    def _collect(
        self, name: str, findings: list[Finding], finished: threading.Event
    ) -> None:
        try:
            module, _, function = CHECKS[name].partition(":")
            check: Check = getattr(importlib.import_module(module), function)
            for finding in check(self._context):
                findings.append(finding)
        except Skipped as skipped:
            findings.append(skip(name, skipped.reason, skipped.todo))
        except BaseException as error:  # a Rust panic is not an Exception
            findings.append(_failure(name, error))
        finally:
            finished.set()


def _failure(name: str, error: BaseException) -> Finding:
    if isinstance(error, SemLoopError):
        return fail(name, error.what, error.todo or "See docs/reliability.md.")
    if isinstance(error, ModuleNotFoundError):
        msg = f"The package {error.name!r} is not installed."
        return fail(name, msg, install_todo("all"))
    msg = f"{unexpected(error)}."
    return fail(name, msg, REPORT)
