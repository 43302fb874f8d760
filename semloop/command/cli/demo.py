"""`semloop demo`: simulated agents, a broker, flows and queries in one command."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import POLL_S, spinner, step_progress
from semloop.flow_registry import STREAMING

if TYPE_CHECKING:
    from semloop.command.demo.audit import Expected
    from semloop.command.demo.stack import DemoStack
    from semloop.settings import Settings

EVENTS = 5_000
# Their session's counts are kept in memory.
EVENTS_MAX = 1_000_000


def demo(
    events: Annotated[
        int,
        typer.Option(
            min=1, max=EVENTS_MAX, help="Approximate number; sessions are complete."
        ),
    ] = EVENTS,
) -> None:
    """Run a demo with agents, broker, flows and queries, and stop it at the end."""
    from semloop.command.demo.folder import NAME, own_folder, private_settings
    from semloop.command.demo.signals import Signals
    from semloop.command.demo.stack import DemoStack
    from semloop.command.stack.supervisor import check_startable

    settings = private_settings(Path.cwd() / NAME)
    check_startable(settings)
    # The demo checks every event at the end, so SDK warnings are redundant.
    logging.getLogger("semloop").setLevel(logging.CRITICAL)
    with Signals() as signals, own_folder():
        started_s = time.monotonic()
        with _started(DemoStack(settings, signals)) as stack:
            kafka = stack.settings.kafka
            *others, last = STREAMING
            flows = f"{', '.join(others)} and {last}"
            say(f"Kafka at {kafka}; flows {flows} stop at the end.")
            say(f"The lake {settings.lake} is kept.", flush=True)
            expected = _stream(stack, events)
        _report(settings, expected, time.monotonic() - started_s)


@contextmanager
def _started(stack: "DemoStack") -> "Iterator[DemoStack]":
    with stack:
        with spinner("Starting a broker and the flows ..."):
            stack.start()
        yield stack


def _stream(stack: "DemoStack", events: int) -> "Expected":
    """Run the agents until all events are in the lake; return what it must contain."""
    from semloop.command.demo import broken
    from semloop.command.demo.audit import (
        Expected,
        rows_of,
        wait_for_lake,
        wait_for_lake_readers,
    )
    from semloop.command.demo.bars import bars
    from semloop.command.demo.crowd import Crowd

    with Crowd(stack.settings, events) as crowd, bars() as show:
        sent = broken.produce(stack.settings)
        others = sent.events + sent.dead_letters
        while crowd.working:
            stack.check()
            total = max(events, crowd.produced) + others
            show(crowd.produced + others, rows_of(stack.storage), total)
            time.sleep(POLL_S)
        total = crowd.produced + others
        expected = Expected(
            crowd.produced + sent.events, sent.dead_letters, sent.repeated
        )
        wait_for_lake(stack, expected, lambda found: show(total, found, total))
    with step_progress() as show_step:
        wait_for_lake_readers(stack, show_step)
    say(
        f"Agents: {crowd.agents}, sessions: {crowd.sessions:,}, events:"
        f" {crowd.produced:,}; from a faulty producer: {sent.records} records"
    )
    return expected


def _report(settings: "Settings", expected: "Expected", took_s: float) -> None:
    """Print the audit, the query results and what to try next."""
    from semloop.command.demo import answers, audit
    from semloop.command.demo.folder import NAME
    from semloop.lake.lake import Lake

    with Lake(settings=settings) as lake:
        say(audit.check(lake, expected))
        say(f"nothing lost, nothing duplicated ({took_s:.1f} s)", style="bold green")
        session_id = answers.story(lake)
        answers.answer(lake, session_id, answers.QUESTIONS)
    answers.print_next(NAME, session_id)
