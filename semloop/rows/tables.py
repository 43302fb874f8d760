"""The rows of CSV, YAML and TinyDB files, and of JSON."""

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import PurePath
from typing import Any, Literal, cast

from semloop.errors import ConfigError
from semloop.extras import install_todo
from semloop.rows.row_event import ROW_ID

Kind = Literal["csv", "yaml", "tinydb", "lines"]
_SUFFIXES: dict[str, Kind] = {
    ".csv": "csv", ".tsv": "csv", ".yaml": "yaml", ".yml": "yaml",
    ".json": "tinydb", ".jsonl": "lines", ".ndjson": "lines",
}  # fmt: skip
_PACKED = (".gz", ".zst")
_DELIMITERS = ",;\t|"
# A cell may have as many bytes as a record; the module's own bound is 128 KiB.
_CELL_CHARS_MAX = 2**28
# Values of one row of YAML: its references can name a value again and again, so that a
# small file would stand for one of any size.
_VALUES_MAX = 1_000_000
# The table that a row of TinyDB is in, unless it is the default one.
TABLE, DEFAULT_TABLE = "_table", "_default"

Numbered = tuple[int, dict[str, Any]]


def kind_of(path: str) -> Kind | None:
    """Return the kind of a file by the end of its name; None for another one."""
    name = PurePath(path)
    if name.suffix.lower() in _PACKED:
        name = name.with_suffix("")
    return _SUFFIXES.get(name.suffix.lower())


def store_name(path: str) -> str:
    """Return the name of a store: that of its file without what follows the dot."""
    return PurePath(path).name.partition(".")[0].strip("-") or "rows"


def csv_rows(stream: io.BufferedReader) -> Iterator[Numbered]:
    """Yield each row with the number of its last line; the first line has the names.

    Raises:
        ConfigError: there are no names, or one name twice.
        ValueError: a row is no valid CSV, or the file no UTF-8.
    """
    lines = _decoded(stream)
    first = next(lines, "")
    delimiter = delimiter_of(first)
    csv.field_size_limit(_CELL_CHARS_MAX)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        repeated = next((n for n in names if names.count(n) > 1), None)
        if repeated is not None or not any(names):
            what = "no names" if repeated is None else f"the name {repeated!r} twice"
            msg = f"The first line of a CSV file has {what}."
            raise ConfigError(msg, "Give each column a name of its own there.")
        for cells in reader:
            if cells:
                more = range(len(names) + 1, len(cells) + 1)
                wide = [*names, *(f"column {n}" for n in more)]
                yield reader.line_num, dict(zip(wide, cells, strict=False))
    except csv.Error as exc:
        raise ValueError(str(exc)) from None


def delimiter_of(first: str) -> str:
    """Return the character between the names in the first line of a CSV file."""
    return max(_DELIMITERS, key=first.count)


def _decoded(stream: io.BufferedReader) -> Iterator[str]:
    """Yield the lines with their breaks, each decoded when it is its turn."""
    encoding = "utf-8-sig"
    while line := stream.readline(_CELL_CHARS_MAX):
        if len(line) == _CELL_CHARS_MAX:
            msg = f"a line has over {_CELL_CHARS_MAX:,} bytes"
            raise ValueError(msg)
        yield line.decode(encoding)
        encoding = "utf-8"


def yaml_rows(stream: io.BufferedReader) -> Iterator[Numbered]:
    """Yield the mappings of a YAML file: elements of lists, or whole documents.

    Raises:
        ConfigError: the package for YAML is not installed.
        ValueError: the file is no valid YAML, or no list of mappings.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        msg = "YAML files need the package pyyaml."
        raise ConfigError(msg, install_todo("files")) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    number = 0
    try:
        for document in yaml.load_all(stream, loader):
            for row in document if isinstance(document, list) else [document]:
                number += 1
                if row is None:
                    continue
                if not isinstance(row, dict):
                    msg = f"its value {number:,} is no mapping of names to values"
                    raise ValueError(msg)
                _check_size(row)
                yield number, {str(name): value for name, value in row.items()}
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        msg = f"it is no valid YAML at line {line:,}"
        raise ValueError(msg) from None
    except yaml.YAMLError:
        msg = "it is no valid YAML"
        raise ValueError(msg) from None


def _check_size(row: object) -> None:
    """Refuse a row that holds too many values, by references to itself or to others."""
    count, left = 0, [row]
    while left:
        value = left.pop()
        count += 1
        if isinstance(value, Mapping):
            left += value.values()
        elif isinstance(value, (list, tuple, set)):
            left += value
        if count + len(left) > _VALUES_MAX:
            msg = f"a row has over {_VALUES_MAX:,} values"
            raise ValueError(msg)


def is_tinydb(value: object) -> bool:
    """Tell whether a value is the content of a TinyDB file: tables of documents."""
    return isinstance(value, dict) and bool(value) and all(
        isinstance(table, dict)
        and all(n.isdecimal() and isinstance(d, dict) for n, d in table.items())
        for table in value.values()
    )  # fmt: skip


def tinydb_rows(value: Mapping[str, object]) -> Iterator[Numbered]:
    """Yield the documents of all tables, each with its number in the file from 1."""
    number = 0
    for name, table in value.items():
        for document_id, document in cast("dict[str, dict[str, Any]]", table).items():
            number += 1
            row = {**document, ROW_ID: int(document_id)}
            yield number, row if name == DEFAULT_TABLE else {**row, TABLE: name}
