"""How rows are printed: one place for every command that prints any."""

import csv
import json
import math
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Row = Sequence[object]

# What a person can look at; beyond these, json and csv have everything.
TABLE_ROWS_MAX = 1_000
TABLE_CELL_CHARS_MAX = 2_000
# A column narrower than this is unreadable: rows are then printed one under another.
COLUMN_CHARS_MIN = 12
# Of a table that goes into a file or pipe, unless COLUMNS says otherwise.
PIPE_CHARS = 120

# Characters that turn the direction of what follows, so that it reads as another text.
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def print_rows(
    columns: Sequence[str], rows: Iterable[Row], form: Format, out: TextIO | None = None
) -> None:
    r"""Print rows of Python values; to standard output if nothing else is given.

    json is one array of objects. In json and csv nothing is cut, timestamps are
    ISO 8601 and bytes are text with `\xNN` for what is not printable, as DuckDB casts
    them.
    """
    out = sys.stdout if out is None else out
    if form is Format.JSON:
        _print_json(distinct(columns), rows, out)
    elif form is Format.CSV:
        _print_csv(columns, rows, out)
    else:
        _print_table(columns, rows, out)


def distinct(columns: Sequence[str]) -> list[str]:
    """Column names without repeats: the second `a` becomes `a_1`."""
    names: list[str] = []
    for column in columns:
        name, n = column, 0
        while name in names:
            n += 1
            name = f"{column}_{n}"
        names.append(name)
    return names


def bytes_text(value: bytes) -> str:
    r"""Bytes as DuckDB casts a BLOB to text, so `'...'::BLOB` gives them back."""
    plain = (chr(byte) if _is_plain(byte) else f"\\x{byte:02X}" for byte in value)
    return "".join(plain)


def json_object(columns: Sequence[str], row: Row) -> str:
    """One row as a JSON object on one line; column names must be distinct."""
    values = {name: _plain(value) for name, value in zip(columns, row, strict=True)}
    return json.dumps(values, ensure_ascii=False, allow_nan=False)


def console_of(out: TextIO) -> "Console":
    """A rich console that takes all text literally, as wide as tables are."""
    from rich.console import Console

    width = None if out.isatty() or "COLUMNS" in os.environ else PIPE_CHARS
    return Console(file=out, width=width, highlight=False, markup=False, emoji=False)


def visible(text: str) -> str:
    """Text that cannot steer the terminal: events hold what agents were told."""
    if text.isprintable():
        return text
    return "".join(
        char if char in "\n\t" or not _steers(char) else f"\\u{ord(char):04x}"
        for char in text
    )


def _is_plain(byte: int) -> bool:
    return 32 <= byte < 127 and chr(byte) not in "\\'\""


def _print_json(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    separator = "[\n"
    for row in rows:
        out.write(separator + json_object(columns, row))
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def _print_csv(columns: Sequence[str], rows: Iterable[Row], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow("" if value is None else _text(value) for value in row)


def _plain(value: object) -> object:
    """A value as JSON can hold it; NaN and infinity, which it cannot, are null."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _plain(float(value))
        case Mapping():
            return {_text(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return _text(value)


def _text(value: object) -> str:
    """A value as one text; what has parts is JSON."""
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
            return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
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
            f"The first {TABLE_ROWS_MAX:,} rows; --format json or csv prints all."
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


def _steers(char: str) -> bool:
    return unicodedata.category(char) == "Cc" or (
        unicodedata.bidirectional(char) in DIRECTIONS
    )
