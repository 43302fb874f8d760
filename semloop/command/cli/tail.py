"""`semloop tail`: print the last events, then new ones as they are committed."""

import select
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from semloop.command.cli.lake_queries import (
    FAILED,
    TEXT_WITH_ROLE,
    one_line,
    require_choice,
)
from semloop.command.cli.new_events import COLUMNS, NewEvents
from semloop.command.terminal.output import Row, console_of, json_object
from semloop.errors import LakeError, StorageUnavailable
from semloop.event import EVENT_TYPES
from semloop.lake.private_ids import PrivateIds
from semloop.settings import load
from semloop.storage.location import Storage

# Poll interval; the flow commits once a second.
POLL_S = 0.5
# Widths of the columns of a line.
AGENT_CHARS = 14
SESSION_CHARS = 12
TYPE_CHARS = max(len(kind) for kind in EVENT_TYPES)
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
) -> None:
    """Show the last events, then new ones as they are committed."""
    settings = load()
    ids = PrivateIds(settings, Storage.of(settings))
    conditions = {
        "agent = ?": agent,
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
    _print(last, form)
    if not follow:
        if not last and count and form is TailFormat.TABLE:
            print("No events match." if given else "No events.")
        return
    if absent:
        _report(f"There is no lake at {settings.lake} yet; `semloop up` creates it.")
    elif not last and count:
        _report(f"No events{' match' if given else ''} yet.")
    _follow(events, form)


def _follow(events: NewEvents, form: TailFormat) -> None:
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
            _print(found, form)
        _exit_if_pipe_closed()
        time.sleep(POLL_S)


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


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


def _print(rows: Iterable[Row], form: TailFormat) -> None:
    if form is TailFormat.JSON:
        for row in rows:
            sys.stdout.write(json_object(COLUMNS, row) + "\n")
    else:
        _print_lines(rows)
    sys.stdout.flush()


def _print_lines(rows: Iterable[Row]) -> None:
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    console = console_of(sys.stdout)
    for row in rows:
        line, failed = _line(*row)
        if cell_len(line) > console.width:
            line = set_cell_size(line, console.width - 1) + "…"
        if failed:
            console.print(Text(line, "red"))
        else:  # Takes a tenth of the time of rich, for bursts of events.
            sys.stdout.write(line + "\n")


def _line(*row: Any) -> tuple[str, bool]:
    ts, agent, session, kind, failed, content = row
    parts = [
        _clock(ts).ljust(8),
        _fit(agent, AGENT_CHARS),
        _fit(session, SESSION_CHARS),
        _fit(kind, TYPE_CHARS),
        one_line(content),
    ]
    return "  ".join(parts), failed


def _fit(text: str | None, chars: int) -> str:
    text = one_line(text)
    return text.ljust(chars) if len(text) <= chars else text[: chars - 1] + "…"


def _clock(moment: datetime) -> str:
    local = moment.astimezone()
    today = datetime.now(local.tzinfo).date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%m-%d %H:%M")
