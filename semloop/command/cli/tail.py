"""`semloop tail`: the last events, and then each one as it is committed."""

import select
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from semloop.command.cli.lookup import FAILED, SAID, one_line, one_of
from semloop.command.cli.new_events import COLUMNS, NewEvents
from semloop.command.terminal.output import Row, console_of, json_object
from semloop.errors import LakeError, StorageUnavailable
from semloop.event import EVENT_TYPES
from semloop.settings import load

# How often the lake is looked at; a commit is made once a second.
LOOK_S = 0.5
# Columns of a line, and what of an agent's or session's name is shown.
AGENT_CHARS = 14
SESSION_CHARS = 12
TYPE_CHARS = max(len(kind) for kind in EVENT_TYPES)
# More of a text than any terminal is wide.
TEXT_CHARS = 1_000
LINE = ["ts", "agent", "session_id", "type", FAILED, f"left({SAID}, {TEXT_CHARS})"]


class TailFormat(StrEnum):
    """How events are printed."""

    TABLE = "table"
    JSON = "json"


def tail(
    count: Annotated[
        int, typer.Option("-n", "--lines", min=0, help="First the last N events.")
    ] = 10,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    session: Annotated[
        str | None,
        typer.Option(help="Only of one session; its id may be cut."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", help=f"Only this type: {', '.join(EVENT_TYPES)}."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Only of this namespace.")
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow/--no-follow", help="Go on until Ctrl-C, or leave."),
    ] = True,
    form: Annotated[
        TailFormat,
        typer.Option(
            "--format", help="json: one object a line, since an array would not end."
        ),
    ] = TailFormat.TABLE,
) -> None:
    """Show the last events, then new ones as they are committed."""
    settings = load()
    conditions = {
        "agent = ?": agent,
        "starts_with(session_id, ?)": session,
        "type = ?": None if kind is None else one_of(kind, EVENT_TYPES, "event type"),
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
        _tell(f"There is no lake at {settings.lake} yet; `semloop up` makes it.")
    elif not last and count:
        _tell(f"No events{' match' if given else ''} yet.")
    _follow(events, form)


def _follow(events: NewEvents, form: TailFormat) -> None:
    """Print what comes, until somebody ends it."""
    seen = told = False
    while True:
        try:
            found = events.look()
            trouble = "The lake is gone." if seen and found is None else None
        except StorageUnavailable as error:
            found, trouble = None, error.what
        if trouble and not told:
            _tell(f"{trouble} Waiting for it; Ctrl-C ends.")
        told = trouble is not None
        if found is not None:
            seen = True
            _print(found, form)
        _leave_a_closed_pipe()
        time.sleep(LOOK_S)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _leave_a_closed_pipe() -> None:
    """Whoever read our output may have left while there was nothing to write."""
    try:
        poll = select.poll()
        poll.register(sys.stdout, 0)
    except (OSError, ValueError):  # It is no file of the system's.
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
        else:  # Many may come at once, and this takes a tenth of the time.
            sys.stdout.write(line + "\n")


def _line(*row: Any) -> tuple[str, bool]:
    ts, agent, session, kind, failed, said = row
    parts = [
        _clock(ts).ljust(8),
        _fit(agent, AGENT_CHARS),
        _fit(session, SESSION_CHARS),
        _fit(kind, TYPE_CHARS),
        one_line(said),
    ]
    return "  ".join(parts), failed


def _fit(text: str | None, chars: int) -> str:
    text = one_line(text)
    return text.ljust(chars) if len(text) <= chars else text[: chars - 1] + "…"


def _clock(moment: datetime) -> str:
    local = moment.astimezone()
    today = datetime.now(local.tzinfo).date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%m-%d %H:%M")
