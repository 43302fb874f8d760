"""`semloop dlq`: records that could not become events, with the reason."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any

import msgspec
import typer

from semloop.command.cli.dlq_actions import park, resolve
from semloop.command.cli.dlq_replay import replay
from semloop.command.cli.dlq_selection import (
    AgentOption,
    ReasonOption,
    SinceOption,
    letter_id,
    selection,
)
from semloop.command.cli.lake_queries import fetch_rows, open_lake
from semloop.command.health.reasons import meaning
from semloop.command.terminal.durations import format_age
from semloop.command.terminal.output import (
    Format,
    Row,
    bytes_text,
    print_rows,
)
from semloop.command.terminal.printing import console_of, say
from semloop.command.terminal.progress import spinner
from semloop.escaping import visible
from semloop.settings import load

# Two dead letters share a prefix of this length in one of 10**15 pairs.
ID_CHARS_SHOWN = 13
# Limits of the table format; json prints the whole record.
RAW_CHARS_SHOWN = 4_000
RAW_LINES_SHOWN = 100

SUMMARY = """
SELECT reason, agent, state, count(*) AS count, min(ingested_at) AS oldest,
    max(ingested_at) AS newest, arg_max(id, ingested_at) AS newest_id
FROM dead_letters WHERE {where} GROUP BY ALL
ORDER BY count DESC, newest DESC, reason, agent, state
"""
EACH = """
SELECT id, reason, agent, session_id, state, ingested_at, topic, topic_id,
    kafka_partition, kafka_offset, detail
FROM dead_letters WHERE {where}
ORDER BY ingested_at DESC, kafka_ts DESC, kafka_partition, kafka_offset DESC
"""
ONE = """
SELECT id, reason, detail, state, attempts, event_id, note, replay_of, topic,
    topic_id, kafka_partition, kafka_offset, kafka_ts, ingested_at, agent,
    session_id, user_id, key, headers, raw
FROM dead_letters WHERE id = ? ORDER BY ingested_at DESC LIMIT 1
"""

app = typer.Typer(add_completion=False, no_args_is_help=False)

Form = Annotated[Format, typer.Option("--format", help="Output format.")]


@app.callback()
def dlq() -> None:
    """Inspect dead letters: records that could not become events."""


@app.command("ls")
def ls(
    reason: ReasonOption = None,
    agent: AgentOption = None,
    since: SinceOption = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            help="open, replayed, parked, resolved or attempt; repeatable. Default:"
            " all but resolved and attempt.",
        ),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="List every dead letter, newest first.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of rows.")
    ] = None,
    form: Form = Format.TABLE,
) -> None:
    """List dead letters by reason and agent, with age and newest id."""
    states = state or ["open", "replayed", "parked"]
    found = selection(states=states, reason=reason, agent=agent, since=since)
    query = (EACH if each else SUMMARY).format(where=found.where)
    if limit is not None:
        query += f"LIMIT {limit}"
    with open_lake(load()) as lake:
        with spinner("Querying ..."):
            result = lake.sql(query, found.values)
            first = result.fetchmany(1)
        rows = chain(first, fetch_rows(result)) if first else iter(())
        if form is not Format.TABLE:
            print_rows(result.columns, rows, form)
        elif not first:
            filtered = len(found.conditions) > 1 or state
            say("No dead letters match." if filtered else "No dead letters.")
        else:
            _print_list(result.columns, rows, each=each)


@app.command("show")
def show(
    letter: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the dead letter, or a prefix.")
    ],
    form: Form = Format.TABLE,
) -> None:
    """Show one dead letter: reason, origin and redacted record."""
    with open_lake(load()) as lake:
        with spinner("Querying ..."):
            found = letter_id(lake, letter)
        result = lake.sql(ONE, [found])
        row = result.fetchall()[0]
        values = dict(zip(result.columns, row, strict=True))
    if form is Format.TABLE:
        _print_letter(values)
        return
    values["meaning"] = meaning(values["reason"])
    values["key"], _ = _as_text(values["key"])
    values["raw"], values["raw_encoding"] = _as_text(values["raw"])
    print_rows(list(values), [list(values.values())], form)


app.command("replay")(replay)
app.command("park")(park)
app.command("resolve")(resolve)


def _print_list(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, each: bool
) -> None:
    now = datetime.now(UTC)
    if each:
        names = ["id", "reason", "agent", "session", "state", "age", "origin", "detail"]
        print_rows(names, (_letter(row, now) for row in rows), Format.TABLE)
        say("Run `semloop dlq show ID` for details.")
    else:
        shown = (
            (
                reason,
                agent,
                state,
                count,
                format_age(oldest, now),
                format_age(newest, now),
                _short(letter),
            )
            for reason, agent, state, count, oldest, newest, letter in rows
        )
        print_rows(columns, shown, Format.TABLE)
        say("Run `semloop dlq show ID` for details, `semloop dlq ls --each` for all.")


def _letter(row: Sequence[Any], now: datetime) -> Row:
    letter, reason, agent, session, state, ingested_at, *origin, detail = row
    topic, _, partition, offset = origin
    age = format_age(ingested_at, now)
    place = _origin(topic, partition, offset)
    return _short(letter), reason, agent, session, state, age, place, detail


def _short(letter: str) -> str:
    return letter[:ID_CHARS_SHOWN]


def _origin(topic: str, partition: int, offset: int) -> str:
    return f"{topic}/{partition}/{offset}"


def _print_letter(values: Mapping[str, Any]) -> None:
    """Print one field per line, then the record."""
    from rich.table import Table
    from rich.text import Text

    origin = ("topic", "kafka_partition", "kafka_offset")
    fields = {
        "id": values["id"],
        "reason": values["reason"],
        "": meaning(values["reason"]),
        "detail": values["detail"],
        "state": values["state"],
        "attempts": values["attempts"] or None,
        "event": values["event_id"],
        "note": values["note"],
        "replay of": values["replay_of"],
        "origin": _origin(*(values[name] for name in origin)),
        "topic_id": values["topic_id"],
        "kafka_ts": values["kafka_ts"],
        "ingested_at": values["ingested_at"],
        "agent": values["agent"],
        "session": values["session_id"],
        "user": values["user_id"],
        "key": _as_text(values["key"])[0],
        "headers": values["headers"],
    }
    console = console_of(sys.stdout)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value is not None and value != "":
            table.add_row(Text(name), Text(_cut(str(value))))
    console.print(table)
    console.print()
    console.print(Text(_record(values["raw"])), soft_wrap=True)


def _cut(text: str) -> str:
    shown = visible(text[:RAW_CHARS_SHOWN])
    more = len(text) - RAW_CHARS_SHOWN
    return f"{shown}… and {more:,} characters more" if more > 0 else shown


def _record(raw: bytes | None) -> str:
    """Format the record for people: indented if it is JSON, truncated if it is long."""
    if raw is None:
        return "The record itself was not stored."
    try:
        # Formatted without decoding, which keeps duplicate keys and long numbers.
        text = msgspec.json.format(raw, indent=2).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        text = raw.decode("utf-8", "backslashreplace")
    lines = visible(text).splitlines()
    shown = "\n".join(lines[:RAW_LINES_SHOWN])[:RAW_CHARS_SHOWN]
    if len(lines) > RAW_LINES_SHOWN or len(shown) == RAW_CHARS_SHOWN:
        shown += f"\n... {len(raw):,} bytes in total; --format json prints all."
    return shown


def _as_text(value: bytes | None) -> tuple[str | None, str | None]:
    r"""Return bytes as text with its encoding: `utf-8`, or `escaped` with `\xNN`."""
    if value is None:
        return None, None
    try:
        return value.decode(), "utf-8"
    except UnicodeDecodeError:
        return bytes_text(value), "escaped"
