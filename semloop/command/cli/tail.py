"""`semloop tail`: print the last events, then new ones as they are committed."""

import select
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from semloop.command.cli.lake_queries import (
    FAILED,
    TEXT_WITH_ROLE,
    require_choice,
)
from semloop.command.cli.local_option import Local, in_zone
from semloop.command.cli.new_events import COLUMNS, NewEvents
from semloop.command.terminal.output import Row, json_object
from semloop.command.terminal.printing import console_of, note, print_for_programs, say
from semloop.errors import LakeError, StorageUnavailable
from semloop.escaping import one_line
from semloop.event import EVENT_TYPES
from semloop.lake.private_ids import PrivateIds
from semloop.settings import load
from semloop.storage.location import Storage

# Poll interval; the flow commits once a second.
POLL_S = 0.5
# Widths of the columns of a line.
AGENT_CELLS = 14
SESSION_CELLS = 12
TYPE_CELLS = max(len(kind) for kind in EVENT_TYPES)
# More than the width of any terminal.
TEXT_CHARS = 1_000
LINE = [
    "ts",
    "agent",
    "session_id",
    "type",
    FAILED,
    f"left({TEXT_WITH_ROLE}, {TEXT_CHARS})",
]


class TailFormat(StrEnum):
    """Output format; json is one object per line, since an array would not end."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class EventPrinter:
    """Prints events: in which format, and in which time zone."""

    form: TailFormat
    local: bool

    def print(self, rows: Iterable[Row]) -> None:
        """Print events."""
        if self.form is TailFormat.JSON:
            print_for_programs()
            for row in rows:
                say(json_object(COLUMNS, row))
        else:
            self._lines(rows)
        sys.stdout.flush()

    def _lines(self, rows: Iterable[Row]) -> None:
        from rich.cells import cell_len, set_cell_size

        width = console_of(sys.stdout).width
        for row in rows:
            line, failed = _line(row, local=self.local)
            if cell_len(line) > width:
                line = set_cell_size(line, width - 1) + "…"
            # Without a style, this takes a tenth of the time, for bursts of events.
            say(line, style="red" if failed else "")


def tail(
    count: Annotated[
        int,
        typer.Option("-n", "--lines", min=0, help="Number of last events to show."),
    ] = 10,
    agent: Annotated[str | None, typer.Option(help="Only this agent.")] = None,
    session: Annotated[
        str | None,
        typer.Option(help="Only sessions whose id begins with this text."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", help=f"Only this type: {', '.join(EVENT_TYPES)}."),
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Only this namespace.")] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", help="Wait for new events until Ctrl-C."),
    ] = True,
    form: Annotated[
        TailFormat,
        typer.Option("--format", help="json: one object per line."),
    ] = TailFormat.TABLE,
    local: Local = False,
) -> None:
    """Show the last events, then new ones as they are committed."""
    settings = load()
    ids = PrivateIds(settings, Storage.of(settings))
    conditions = {
        "agent = ?": agent and ids.pseudonyms(agent)[0],
        "starts_with(session_id, ?)": session and ids.pseudonyms(session)[0],
        "type = ?": None
        if kind is None
        else require_choice(kind, EVENT_TYPES, "event type"),
        "namespace = ?": namespace,
    }
    given = {sql: value for sql, value in conditions.items() if value is not None}
    columns = COLUMNS if form is TailFormat.JSON else LINE
    absent = not settings.on_s3 and not Path(settings.lake).is_dir()
    if absent and not follow:
        msg = f"There is no lake at {settings.lake}."
        raise LakeError(msg, "Start one with `semloop up`, or set SEMLOOP_LAKE.")
    where = " AND ".join(given) or "true"
    events = NewEvents(settings, columns, where, list(given.values()))
    last = events.last(count)
    printer = EventPrinter(form, local)
    printer.print(last)
    if not follow:
        if not last and count and form is TailFormat.TABLE:
            say("No events match." if given else "No events.")
        return
    if absent:
        _report(f"There is no lake at {settings.lake} yet; `semloop up` creates it.")
    elif not last and count:
        _report(f"No events{' match' if given else ''} yet.")
    _follow(events, printer)


def _follow(events: NewEvents, printer: EventPrinter) -> None:
    """Print new events until Ctrl-C; report an outage once and keep polling."""
    seen = reported = False
    while True:
        try:
            found = events.poll()
            error = "The lake no longer exists." if seen and found is None else None
        except StorageUnavailable as exc:
            found, error = None, exc.what
        if error and not reported:
            _report(f"{error} Waiting for it; press Ctrl-C to stop.")
        reported = error is not None
        if found is not None:
            seen = True
            printer.print(found)
        _exit_if_pipe_closed()
        time.sleep(POLL_S)


def _report(line: str) -> None:
    note(line)


def _exit_if_pipe_closed() -> None:
    """Detect that the reader of our output ended, without writing to the pipe.

    Raises:
        BrokenPipeError: it did.
    """
    try:
        poll = select.poll()
        poll.register(sys.stdout, 0)
    except (OSError, ValueError):  # Standard output has no file descriptor.
        return
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError


def _line(row: Sequence[Any], *, local: bool) -> tuple[str, bool]:
    """Return the line of an event, and whether it reports a failure."""
    ts, agent, session, kind, failed, content = row
    parts = [
        _clock(ts, local=local).ljust(8),
        _fit(agent, AGENT_CELLS),
        _fit(session, SESSION_CELLS),
        _fit(kind, TYPE_CELLS),
        one_line(content),
    ]
    return "  ".join(parts), failed


def _fit(text: str | None, cells: int) -> str:
    """Return a text that takes this many columns; some characters take two."""
    from rich.cells import cell_len, set_cell_size

    text = one_line(text)
    if cell_len(text) <= cells:
        return set_cell_size(text, cells)
    return set_cell_size(text, cells - 1) + "…"


def _clock(moment: datetime, *, local: bool) -> str:
    shown = in_zone(moment, local=local)
    today = in_zone(datetime.now(UTC), local=local).date()
    return shown.strftime("%H:%M:%S" if shown.date() == today else "%m-%d %H:%M")
