"""`semloop dlq`: what could not become an event, and why."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any

import msgspec
import typer

from schemas.dead_letter import Reason
from semloop.command.cli.lookup import full_id, one_of, opened, rows_of
from semloop.command.cli.reasons import meaning
from semloop.command.cli.since import HELP, since
from semloop.command.terminal.durations import age
from semloop.command.terminal.output import (
    Format,
    Row,
    bytes_text,
    console_of,
    print_rows,
    visible,
)
from semloop.command.terminal.progress import waiting
from semloop.errors import ConfigError
from semloop.settings import load

# So much of an id, or all of it, is taken for one.
ID_CHARS_MIN = 4
# Two letters with the same beginning of this length: one in 10**15 pairs.
ID_CHARS_SHOWN = 13
# What a person looks at; json has all.
RAW_CHARS_SHOWN = 4_000
RAW_LINES_SHOWN = 100

SUMMARY = """
SELECT reason, agent, count(*) AS count, min(ingested_at) AS oldest,
    max(ingested_at) AS newest, arg_max(id, ingested_at) AS newest_id
FROM dead_letters WHERE {where} GROUP BY ALL
ORDER BY count DESC, newest DESC, reason, agent
"""
EACH = """
SELECT id, reason, agent, session_id, ingested_at, topic, topic_id, kafka_partition,
    kafka_offset, detail
FROM dead_letters WHERE {where}
ORDER BY ingested_at DESC, kafka_ts DESC, kafka_partition, kafka_offset DESC
"""
ONE = """
SELECT id, reason, detail, topic, topic_id, kafka_partition, kafka_offset, kafka_ts,
    ingested_at, agent, session_id, user_id, key, headers, raw
FROM dead_letters WHERE id = ? ORDER BY ingested_at DESC LIMIT 1
"""

app = typer.Typer(add_completion=False, no_args_is_help=False)

Form = Annotated[Format, typer.Option("--format", help="How it is printed.")]


@app.callback()
def dlq() -> None:
    """Look at dead letters: records that could not become events."""


@app.command("ls")
def ls(
    reason: Annotated[
        str | None, typer.Option(help="Only this reason, such as not_json.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    since_: Annotated[str | None, typer.Option("--since", help=HELP)] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Every letter, the newest first.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    form: Form = Format.TABLE,
) -> None:
    """List dead letters by reason and agent, with their age and the newest id."""
    where, values = _where(reason, agent, since_)
    query = (EACH if each else SUMMARY).format(where=where)
    if limit is not None:
        query += f"LIMIT {limit}"
    with opened(load()) as lake:
        with waiting("Looking ..."):
            answer = lake.sql(query, values)
            first = answer.fetchmany(1)
        rows = chain(first, rows_of(answer)) if first else iter(())
        if form is not Format.TABLE:
            print_rows(answer.columns, rows, form)
        elif not first:
            print("No dead letters match." if values else "No dead letters.")
        else:
            _print_list(answer.columns, rows, each=each)


@app.command("show")
def show(
    letter: Annotated[
        str, typer.Argument(metavar="ID", help="Its id, or how that begins.")
    ],
    form: Form = Format.TABLE,
) -> None:
    """Show one dead letter: why, whence, and its record without private content."""
    with opened(load()) as lake:
        with waiting("Looking ..."):
            found = full_id(lake, "dead_letters", "id", letter, "dead letters")
        if found is None or (len(letter) < ID_CHARS_MIN and found != letter):
            few = "" if found is None else " yet: that is too little of an id"
            msg = f"No dead letter is meant by {letter!r}{few}."
            todo = f"Give {ID_CHARS_MIN} or more characters of an id that "
            raise ConfigError(msg, f"{todo}`semloop dlq ls` lists.")
        answer = lake.sql(ONE, [found])
        row = answer.fetchall()[0]
        values = dict(zip(answer.columns, row, strict=True))
    if form is Format.TABLE:
        _print_letter(values)
        return
    values["meaning"] = meaning(values["reason"])
    values["key"], _ = _as_text(values["key"])
    values["raw"], values["raw_encoding"] = _as_text(values["raw"])
    print_rows(list(values), [list(values.values())], form)


def _where(
    reason: str | None, agent: str | None, since_: str | None
) -> tuple[str, list[object]]:
    """The condition in SQL, and its values."""
    conditions: dict[str, object] = {}
    if reason is not None:
        conditions["reason = ?"] = one_of(reason, list(Reason), "reason")
    if agent is not None:
        conditions["agent = ?"] = agent
    if since_ is not None:
        conditions["ingested_at >= ?"] = since(since_)
    return " AND ".join(conditions) or "true", list(conditions.values())


def _print_list(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, each: bool
) -> None:
    now = datetime.now(UTC)
    if each:
        names = ["id", "reason", "agent", "session", "age", "origin", "detail"]
        print_rows(names, (_letter(row, now) for row in rows), Format.TABLE)
        print("`semloop dlq show ID` shows one.")
    else:
        shown = (
            (reason, agent, count, age(oldest, now), age(newest, now), _short(letter))
            for reason, agent, count, oldest, newest, letter in rows
        )
        print_rows(columns, shown, Format.TABLE)
        print("`semloop dlq show ID` shows one, `semloop dlq ls --each` lists them.")


def _letter(row: Sequence[Any], now: datetime) -> Row:
    letter, reason, agent, session, ingested_at, topic, _, partition, offset, why = row
    origin = _origin(topic, partition, offset)
    return _short(letter), reason, agent, session, age(ingested_at, now), origin, why


def _short(letter: str) -> str:
    return letter[:ID_CHARS_SHOWN]


def _origin(topic: str, partition: int, offset: int) -> str:
    return f"{topic}/{partition}/{offset}"


def _print_letter(values: Mapping[str, Any]) -> None:
    """One field a line, then the record."""
    from rich.table import Table
    from rich.text import Text

    origin = ("topic", "kafka_partition", "kafka_offset")
    fields = {
        "id": values["id"],
        "reason": values["reason"],
        "": meaning(values["reason"]),
        "detail": values["detail"],
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
            table.add_row(Text(name), Text(visible(str(value))))
    console.print(table)
    console.print()
    console.print(Text(_record(values["raw"])), soft_wrap=True)


def _record(raw: bytes | None) -> str:
    """The record for people: indented if it is JSON, cut if it is long."""
    if raw is None:
        return "Of the record itself nothing was kept."
    try:
        # Not decoded: a key that stands twice or a long number stays as it was sent.
        text = msgspec.json.format(raw, indent=2).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        text = raw.decode("utf-8", "backslashreplace")
    lines = visible(text).splitlines()
    shown = "\n".join(lines[:RAW_LINES_SHOWN])[:RAW_CHARS_SHOWN]
    if len(lines) > RAW_LINES_SHOWN or len(shown) == RAW_CHARS_SHOWN:
        shown += f"\n... {len(raw):,} bytes in all; --format json prints them."
    return shown


def _as_text(value: bytes | None) -> tuple[str | None, str | None]:
    r"""Bytes as text, and how: as `utf-8`, or `escaped` with `\xNN` as in SQL."""
    if value is None:
        return None, None
    try:
        return value.decode(), "utf-8"
    except UnicodeDecodeError:
        return bytes_text(value), "escaped"
