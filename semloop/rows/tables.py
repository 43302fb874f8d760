"""The rows of CSV, YAML and TinyDB files."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import PurePath
from typing import Any, Literal

from semloop.errors import ConfigError
from semloop.extras import install_todo
from semloop.rows.plain import plain

Kind = Literal["csv", "yaml", "tinydb", "lines"]
_SUFFIXES: dict[str, Kind] = {
    ".csv": "csv", ".tsv": "csv", ".yaml": "yaml", ".yml": "yaml",
    ".json": "tinydb", ".jsonl": "lines", ".ndjson": "lines",
}  # fmt: skip
_PACKED = (".gz", ".zst")
_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*"')
# The first line of CSV files that spreadsheets write for each other.
_SEP = "sep="
# A cell may have as many bytes as a record; the module's own bound is 128 KiB.
_CELL_CHARS_MAX = 2**28
# The column of the table that a row of TinyDB is in, unless it is the default one.
TABLE, DEFAULT_TABLE = "_table", "_default"

# A row with its number; other values are no rows, and readers count them.
Numbered = tuple[int, Any]


def kind_of(path: str) -> Kind | None:
    """Return the kind of a file by the end of its name; None for another one."""
    return _SUFFIXES.get(PurePath(_unpacked(path)).suffix.lower())


def store_name(path: str) -> str:
    """Return the name of a store: that of its file, without the end for its kind."""
    name = PurePath(_unpacked(path))
    known = name.suffix.lower() in _SUFFIXES
    return (name.stem if known else name.name).strip("-") or "rows"


def _unpacked(path: str) -> str:
    name = PurePath(path).name
    return PurePath(name).stem if PurePath(name).suffix.lower() in _PACKED else name


def csv_rows(stream: io.BufferedReader) -> Iterator[Numbered]:
    """Yield each row with the number of its last line; the first line has the names.

    A column without a name is `column N`, from 1.

    Raises:
        ConfigError: there are no names, or one name twice.
        ValueError: a row is no valid CSV, or the file no UTF-8.
    """
    lines = _decoded(stream)
    first = next(lines, "")
    delimiter = delimiter_of(first)
    if first.lower().startswith(_SEP):
        first = next(lines, "")
    csv.field_size_limit(_CELL_CHARS_MAX)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        names = names_of(next(reader, []))
        for cells in reader:
            more = range(len(names) + 1, len(cells) + 1)
            wide = [*names, *(f"column {n}" for n in more)]
            if cells:
                yield reader.line_num, dict(zip(wide, cells, strict=False))
    except csv.Error:
        msg = f"it is no valid CSV at line {reader.line_num:,}"
        raise ValueError(msg) from None


def names_of(cells: list[str]) -> list[str]:
    """Return the names of the columns.

    Raises:
        ConfigError: no column has a name, or two have the same.
    """
    given = [cell.strip() for cell in cells]
    if not any(given):
        msg = "The first line of a CSV file has no names."
        raise ConfigError(msg, "Name each column there.")
    names = [name or f"column {number}" for number, name in enumerate(given, 1)]
    for name in names:
        if names.count(name) > 1:
            msg = f"The first line of a CSV file has the name {name!r} twice."
            raise ConfigError(msg, "Give each column a name of its own there.")
    return names


def delimiter_of(first: str) -> str:
    """Return the character between the cells, from the first line of a CSV file."""
    chosen = first[len(_SEP) :][:1]
    if first.lower().startswith(_SEP) and chosen in _DELIMITERS:
        return chosen or ","
    return max(_DELIMITERS, key=_QUOTED.sub("", first).count)


def _decoded(stream: io.BufferedReader) -> Iterator[str]:
    """Yield the lines with their breaks, each decoded when it is its turn."""
    encoding = "utf-8-sig"
    while line := stream.readline(_CELL_CHARS_MAX):
        if len(line) == _CELL_CHARS_MAX:
            msg = f"a line has over {_CELL_CHARS_MAX:,} bytes"
            raise ValueError(msg)
        yield line.decode(encoding)
        encoding = "utf-8"


def yaml_rows(stream: "io.BufferedReader | bytes") -> Iterator[Numbered]:
    """Yield the elements of the lists of a YAML file, and its other documents.

    Their values are those of JSON: dates are texts, names of values too.

    Raises:
        ConfigError: the package for YAML is not installed.
        ValueError: the file is no valid YAML, or a row is too large for a record.
    """
    number = 0
    for document in _documents(stream):
        for row in document if isinstance(document, list) else [document]:
            number += 1
            if row is not None:
                yield number, plain(row)


def _documents(stream: "io.BufferedReader | bytes") -> Iterator[object]:
    try:
        import yaml
    except ModuleNotFoundError:
        msg = "YAML files need the package pyyaml."
        raise ConfigError(msg, install_todo("files")) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.load_all(stream, loader)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        msg = f"it is no valid YAML at line {line:,}"
        raise ValueError(msg) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        # Other errors quote a value.
        msg = "it is no valid YAML: a value is not of the type that its tag says"
        raise ValueError(msg) from None


def is_tinydb(value: object) -> bool:
    """Tell whether a value is the content of a TinyDB file: tables of documents."""
    return isinstance(value, dict) and bool(value) and all(
        isinstance(table, dict)
        and all(n.isdecimal() and isinstance(d, dict) for n, d in table.items())
        for table in value.values()
    )  # fmt: skip


def tinydb_rows(value: Mapping[str, Any]) -> Iterator[Numbered]:
    """Yield the documents of all tables, each with its number in the file from 1."""
    number = 0
    for name, table in value.items():
        for document in table.values():
            number += 1
            is_named = name != DEFAULT_TABLE and TABLE not in document
            yield number, {**document, TABLE: name} if is_named else document
