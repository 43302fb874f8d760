"""Printing of rows as a table, JSON or CSV, for all commands."""

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import chain, islice
from typing import TYPE_CHECKING, TextIO

from semloop.command.terminal.printing import console_of, print_for_programs
from semloop.escaping import visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Row = Sequence[object]

# Limits of a table for people; json and csv print everything.
TABLE_ROWS_MAX = 1_000
TABLE_CELL_CHARS_MAX = 2_000
# A column narrower than this is unreadable: rows are then printed as records.
COLUMN_CHARS_MIN = 12
# What DuckDB writes for the bytes that it escapes when it casts a BLOB to text.
_ESCAPED_BYTES = {
    byte: f"\\x{byte:02X}"
    for byte in range(256)
    if not 32 <= byte < 127 or chr(byte) in "\\'\""
}


class Format(StrEnum):
    """Output format of rows."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def print_rows(
    columns: Sequence[str], rows: Iterable[Row], form: Format, out: TextIO | None = None
) -> None:
    r"""Print rows of Python values, by default to standard output.

    json is one array of objects. json and csv truncate nothing; timestamps are
    ISO 8601, and bytes are text with `\xNN` for unprintable ones, as DuckDB casts
    them.
    """
    if out is None:
        out = sys.stdout
        if form is not Format.TABLE:
            print_for_programs()
    if form is Format.JSON:
        _print_json(distinct_names(columns), rows, out)
    elif form is Format.CSV:
        _print_csv(columns, rows, out)
    else:
        _print_table(columns, rows, out)


def distinct_names(columns: Sequence[str]) -> list[str]:
    """Return column names without duplicates: the second `a` becomes `a_1`."""
    names: list[str] = []
    for column in columns:
        name, n = column, 0
        while name in names:
            n += 1
            name = f"{column}_{n}"
        names.append(name)
    return names


def bytes_text(value: bytes) -> str:
    r"""Return bytes as DuckDB casts a BLOB to text; `'...'::BLOB` restores them."""
    return value.decode("latin-1").translate(_ESCAPED_BYTES)


def json_object(columns: Sequence[str], row: Row) -> str:
    """Return a row as a JSON object on one line; column names must be distinct.

    Characters that would control a terminal are escaped, which changes no value.
    """
    values = {
        name: _json_value(value) for name, value in zip(columns, row, strict=True)
    }
    return visible_json(json.dumps(values, ensure_ascii=False, allow_nan=False))


def _print_json(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    separator = "[\n"
    for row in rows:
        out.write(separator + json_object(columns, row))
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def _print_csv(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    plain = csv.writer(out, lineterminator="\n")
    # By itself, Python quotes a carriage return only if it is part of a line's end.
    quoting = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in chain([columns], rows):
        cells = ["" if value is None else _text(value) for value in row]
        (quoting if any("\r" in cell for cell in cells) else plain).writerow(cells)


def _json_value(value: object) -> object:
    """Convert a value for JSON; NaN and infinity, which JSON lacks, become null."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _json_value(float(value))
        case Mapping():
            return {_text(key): _json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [_json_value(item) for item in value]
        case _:
            return _text(value)


def _text(value: object) -> str:
    """Return a value as text; nested values are JSON."""
    match value:
        case bytes() | bytearray() | memoryview():
            return bytes_text(bytes(value))
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case bool():
            return str(value).lower()
        case Mapping() | list() | tuple():
            return json.dumps(_json_value(value), ensure_ascii=False, allow_nan=False)
        case _:
            return str(value)


def _print_table(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    remaining = iter(rows)
    cells = [
        [_cell(value) for value in row] for row in islice(remaining, TABLE_ROWS_MAX)
    ]
    names = [visible(name) for name in columns]
    console = console_of(out)
    for part in _tables(console, names, cells):
        console.print(part)
    if next(remaining, None) is not None:
        console.print(
            f"First {TABLE_ROWS_MAX:,} rows shown; --format json or csv prints all."
        )
    else:
        console.print(f"{len(cells):,} row{'' if len(cells) == 1 else 's'}")


def _tables(
    console: "Console", names: Sequence[str], cells: Sequence[Sequence[str]]
) -> Iterator["RenderableType"]:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    widths = [
        min(max(len(name), *(len(row[i]) for row in cells), 1), COLUMN_CHARS_MIN)
        for i, name in enumerate(names)
    ]
    if sum(widths) + 3 * len(widths) <= console.width:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in names:
            table.add_column(Text(name), overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        yield table
        return
    for number, row in enumerate(cells, 1):
        record = Table(box=None, pad_edge=False, show_header=False)
        record.add_column(style="bold", no_wrap=True)
        record.add_column(overflow="fold")
        for name, cell in zip(names, row, strict=True):
            if cell:
                record.add_row(Text(name), Text(cell))
        yield Text(f"-- row {number}")
        yield record


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value.isoformat(" ") if isinstance(value, datetime) else _text(value)
    if len(text) > TABLE_CELL_CHARS_MAX:
        text = text[: TABLE_CELL_CHARS_MAX - 1] + "…"
    return visible(text)
