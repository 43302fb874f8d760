"""Scheduled flows: dataflows that end. A command or Bytewax's own runner runs them."""

import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import structlog
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from flows.guard import Guard
from schemas.steps import ProgressCallback
from semloop import layout
from semloop.flow_registry import Flow
from semloop.settings import DEFAULT_TOPIC
from sinks.activity_file import ActivityFile
from sinks.flow_tables import FlowContext

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")

log = structlog.get_logger("flow")


class FirstErrorGuard:
    """Stores the first error, which Bytewax would turn into a panic.

    After an error the input ends and all steps do nothing.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def poll(self, function: Callable[[], R]) -> Callable[[], R]:
        """Wrap the function that polls."""

        @functools.wraps(function)
        def poll() -> R:
            if self.error is None:
                try:
                    return function()
                except StopIteration:  # how Bytewax signals the end of input
                    raise
                except BaseException as error:
                    self.error = error
            raise StopIteration

        return poll

    def step(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function of an item; after an error it returns None."""

        @functools.wraps(function)
        def step(*args: P.args, **kwargs: P.kwargs) -> R:
            if self.error is None:
                try:
                    return function(*args, **kwargs)
                except BaseException as error:
                    self.error = error
            return None  # type: ignore[return-value]

        return step


def run_to_end(build: Callable[[Guard], Dataflow]) -> None:
    """Run a dataflow in this thread until its input ends.

    Args:
        build: builds the dataflow and wraps all of its functions with the guard.

    Raises:
        The first error that a function of the dataflow raised.
    """
    guard = FirstErrorGuard()
    cli_main(build(guard))  # type: ignore[no-untyped-call]
    if guard.error is not None:
        raise guard.error


def log_steps(flow: str) -> ProgressCallback:
    """Return a progress callback that logs one line when a step begins."""
    seen: set[str] = set()

    def show(step: str, done: int, total: int) -> None:
        if step not in seen:
            seen.add(step)
            log.info("step started", flow=flow, step=step, total=total)

    return show


def with_signs_of_life(
    context: FlowContext, flow: Flow, worker_index: int, items: Iterator[Item]
) -> Iterator[Item]:
    """Yield items, and write when the run starts, proceeds and ends.

    A run that fails, hangs or is killed leaves no end, which `semloop health` reports.
    Nothing is written to a lake that no flow has begun.

    Args:
        context: the lake and the clocks.
        flow: the flow.
        worker_index: the worker whose share the items are.
        items: the next one is asked for after all steps are done with the last one.

    Raises:
        LakeError: the lake has a newer layout.
    """
    if layout.check(context.storage) is None:
        # No flow has begun the lake, or its path is mistyped: nothing makes a folder.
        yield from items
        return
    # Scheduled flows maintain the tables of all topics.
    activity = ActivityFile(context.storage, flow.name, worker_index, DEFAULT_TOPIC)
    activity.start_run(context.moment())
    for item in items:
        yield item
        activity.beat(None, context.moment())
    now = context.moment()
    activity.beat(now.wall_ms, now, ended=True)
