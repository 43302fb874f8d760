"""Scheduled flows: dataflows that end, run by a command or by Bytewax's own runner."""

import functools
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from flows.guard import ends_process
from schemas.steps import ProgressCallback

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger("flow")


class Guard(Protocol):
    """Wraps the parts of a dataflow, and decides what an error of them does."""

    def poll(self, function: Callable[[], R]) -> Callable[[], R]:
        """Wrap what reads."""

    def step(self, function: Callable[[T], R]) -> Callable[[T], R]:
        """Wrap what takes an item."""


class EndsProcess:
    """An error ends the process: for a process that does nothing else."""

    def poll(self, function: Callable[[], R]) -> Callable[[], R]:
        """As `ends_process`."""
        return ends_process(function)

    def step(self, function: Callable[[T], R]) -> Callable[[T], R]:
        """As `ends_process`."""
        return ends_process(function)


class Carrier:
    """Carries the first error around Bytewax, where it would become a panic.

    After it the input ends, and nothing more is done.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def poll(self, function: Callable[[], R]) -> Callable[[], R]:
        """Wrap what reads."""

        @functools.wraps(function)
        def poll() -> R:
            if self.error is None:
                try:
                    return function()
                except StopIteration:  # Bytewax's own word for the end of input
                    raise
                except BaseException as error:
                    self.error = error
            raise StopIteration

        return poll

    def step(self, function: Callable[[T], R]) -> Callable[[T], R]:
        """Wrap what takes an item; after an error it gives None to the next step."""

        @functools.wraps(function)
        def step(item: T) -> R:
            if self.error is None:
                try:
                    return function(item)
                except BaseException as error:
                    self.error = error
            return None  # type: ignore[return-value]

        return step


def run_to_end(build: Callable[[Guard], Dataflow]) -> None:
    """Run a dataflow in this thread until its input ends.

    Args:
        build: makes the dataflow, with all of its parts wrapped.

    Raises:
        what a part of the dataflow raised.
    """
    carrier = Carrier()
    cli_main(build(carrier))  # type: ignore[no-untyped-call]
    if carrier.error is not None:
        raise carrier.error


def logged(flow: str) -> ProgressCallback:
    """Progress as log lines, one when a step begins."""
    seen: set[str] = set()

    def show(step: str, done: int, total: int) -> None:
        if step not in seen:
            seen.add(step)
            log.info("step", flow=flow, step=step, total=total)

    return show
