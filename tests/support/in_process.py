"""Flows that run in the process of the test, for tests about rows.

Signals, exit codes, restarts and logs need a process: see `tests/support/processes.py`.
"""

import importlib
from typing import Any, NoReturn

import pytest
from bytewax.testing import run_main
from structlog.testing import capture_logs

from flows import guard
from schemas.metrics import Metrics
from semloop.flow_registry import STREAMING
from semloop.settings import Settings


def run_flow(settings: Settings, flow: str = "archive", **options: bool) -> Metrics:
    """Run a streaming flow until it has caught up; return its metrics.

    Bytewax runs the dataflow that `semloop run` builds, with one worker. Only the
    guard differs: an error of a step is raised here, where the guard would end the
    process.

    Args:
        settings: the lake, the topic and the bounds.
        flow: the name of the flow.
        options: flags of the flow, such as `new_log=True`.

    Raises:
        Exception: the first error of a step.
    """
    errors: list[Exception] = []

    def raise_error(error: Exception) -> NoReturn:
        errors.append(error)
        raise error

    metrics = Metrics()
    module: Any = importlib.import_module(STREAMING[flow].module)
    with pytest.MonkeyPatch.context() as patch, capture_logs():
        patch.setattr(guard, "exit_with", raise_error)
        dataflow = module.build(settings, metrics, until_caught_up=True, **options)
        try:
            run_main(dataflow)  # type: ignore[no-untyped-call]
        except BaseException:
            if not errors:
                raise
    if errors:
        raise errors[0]
    return metrics
