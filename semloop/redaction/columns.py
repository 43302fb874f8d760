"""Values in columns of tables in text: CSV, tabs, Markdown."""

import re
from collections.abc import Iterator

from semloop.redaction.finding import Finder, Span
from semloop.redaction.key_names import Name, NameTable, Values
from semloop.redaction.named_values import is_private, normal_form
from semloop.redaction.shapes import Strength

LINE = re.compile(rb"[^\r\n]+")
HEADING = re.compile(rb"[A-Za-z\xff_][\w \-./\xff]{0,40}")
RULE = re.compile(rb"[ \t|:\-+]+")
DELIMITERS = (b"|", b"\t", b",", b";")
PADDING = b" \t\"'*`"
LINE_BYTES_MAX = 4096


def column_finder(names: NameTable) -> Finder:
    """Return a finder of values below a private heading of a table."""

    def find(text: bytes) -> Iterator[Span]:
        delimiter = b""
        columns: dict[int, Name] = {}
        count = 0
        for line in LINE.finditer(text):
            row = line[0]
            if len(row) > LINE_BYTES_MAX:
                continue
            if columns and row.count(delimiter) == count:
                yield from _cells(line.start(), row, delimiter, columns)
            elif not (columns and RULE.fullmatch(row)):
                delimiter, columns = _headings(row, names)
                count = row.count(delimiter) if columns else 0

    return Finder(names.gate, find, "value in a column")


def _headings(row: bytes, names: NameTable) -> tuple[bytes, dict[int, Name]]:
    """Return the delimiter of a line of headings, and its private columns."""
    for delimiter in DELIMITERS:
        if delimiter not in row:
            continue
        cells = [cell.strip(PADDING) for cell in row.split(delimiter)]
        headings = [cell for cell in cells if cell]
        if len(headings) < 2 or not all(map(HEADING.fullmatch, headings)):
            continue
        found = {n: names.of(cell.decode("latin-1")) for n, cell in enumerate(cells)}
        return delimiter, {n: name for n, name in found.items() if name}
    return b"", {}


def _cells(
    at: int, row: bytes, delimiter: bytes, columns: dict[int, Name]
) -> Iterator[Span]:
    for n, cell in enumerate(row.split(delimiter)):
        if (name := columns.get(n)) and name.values is not Values.HEADERS:
            value = cell.strip(PADDING)
            start = at + len(cell) - len(cell.lstrip(PADDING))
            if is_private(name, value, Strength.MIXED):
                normal = normal_form(name.name, value)
                yield Span(start, start + len(value), name.name, normal)
        at += len(cell) + 1
