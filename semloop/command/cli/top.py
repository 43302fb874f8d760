"""`semloop top`: what agents, tools and flows do now, on one screen."""

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.cli.top_screen import Sort, screen
from semloop.command.cli.top_state import TopQueries
from semloop.command.terminal.printing import console_of
from semloop.errors import ConfigError, StorageUnavailable
from semloop.settings import load

if TYPE_CHECKING:
    from rich.live import Live

INTERVAL_S = 2.0
KEYS = "q quit   s sort   p pause"


def top(
    once: Annotated[
        bool, typer.Option("--once", help="Print one screen and exit, for scripts.")
    ] = False,
    agent: Annotated[str | None, typer.Option(help="Only this agent.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Only this namespace.")] = None,
    minutes: Annotated[
        int,
        typer.Option(min=1, max=1_440, help="Count the events of the last minutes."),
    ] = 15,
    sort: Annotated[
        Sort, typer.Option(help="Column by which agents and tools are sorted.")
    ] = Sort.EVENTS,
    interval: Annotated[
        float, typer.Option(min=0.5, help="Seconds between two screens.")
    ] = INTERVAL_S,
) -> None:
    """Show what agents and tools do now, what it costs, and how far flows are."""
    settings = load()
    out = console_of(sys.stdout)
    with TopQueries(settings, agent, namespace, minutes) as queries:
        if not (once or sys.stdout.isatty()):
            msg = "`semloop top` needs a terminal."
            raise ConfigError(msg, "Print one screen: `semloop top --once`.")
        if once:
            out.print(screen(queries.state(), sort))
            return
        from rich.live import Live

        with single_keys(), Live(console=out, screen=True, auto_refresh=False) as live:
            _follow(queries, sort, interval, live)


def _follow(queries: TopQueries, sort: Sort, interval_s: float, live: "Live") -> None:
    """Show screens until the key q."""
    state, paused, fault = queries.state(), False, ""
    while True:
        keys = KEYS + "   PAUSED" * paused + fault
        live.update(screen(state, sort, live.console.height, keys), refresh=True)
        due_s = time.monotonic() + interval_s
        key = pressed(interval_s)
        if key == "q":
            return
        if key == "s":
            sort = sort.next()
        elif key == "p":
            paused = not paused
        if not paused and (key is None or time.monotonic() >= due_s):
            try:
                state, fault = queries.state(), ""
            except StorageUnavailable as error:
                fault = f"   {error.what}"


def pressed(seconds: float) -> str | None:
    """Return the key that is pressed within a time; None if none is."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return None
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return None
    # Not buffered, so that `select` sees the next key; nothing at the end of the input.
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace").lower() or "q"


@contextmanager
def single_keys() -> Iterator[None]:
    """Read keys without Enter, if standard input is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin.fileno())
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
