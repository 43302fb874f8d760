"""Flows that run in the process of the test, for tests about rows.

Signals, exit codes, restarts and logs need a process: see `tests/support/processes.py`.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from bytewax.testing import run_main
from structlog.testing import capture_logs

from schemas.metrics import Metrics
from semloop.flow_registry import STREAMING
from semloop.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


def run_flow(settings: Settings, flow: str = "archive", **options: bool) -> Metrics:
    """Run a streaming flow until it has caught up; return its metrics.

    Bytewax runs the dataflow that `semloop run` builds, with one worker. Only the
    guard differs: an error of a step is raised here instead of ending the process.

    Args:
        settings: the lake, the topic and the bounds.
        flow: the name of the flow.
        options: flags of the flow, such as `new_log=True`.

    Raises:
        Exception: the first error of a step.
    """
    metrics, guard = Metrics(), RecordingGuard()
    module: Any = importlib.import_module(STREAMING[flow].module)
    with capture_logs():
        dataflow = module.build(
            settings, metrics, guard=guard, until_caught_up=True, **options
        )
        try:
            run_main(dataflow)  # type: ignore[no-untyped-call]
        except BaseException:
            if not guard.errors:
                raise
    if guard.errors:
        raise guard.errors[0]
    return metrics


class RecordingGuard:
    """Records errors and raises them again; Bytewax replaces them by its own."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def poll(self, function: Callable[[], R]) -> Callable[[], R]:
        """Wrap the function that polls."""
        return self.step(function)

    def step(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap any other function."""

        @functools.wraps(function)
        def step(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except StopIteration:  # how Bytewax signals the end of input
                raise
            except Exception as error:
                self.errors.append(error)
                raise

        return step
