"""Files of rows that can be read as a whole, and added to."""

import csv
import io
import json
import os
import shutil
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from semloop.errors import ConfigError, StorageUnavailable
from semloop.extras import install_todo
from semloop.rows.plain import plain
from semloop.rows.row_event import text_of
from semloop.rows.tables import (
    DEFAULT_TABLE,
    TABLE,
    Kind,
    Numbered,
    csv_rows,
    delimiter_of,
    is_tinydb,
    kind_of,
    names_of,
    tinydb_rows,
    yaml_rows,
)


class RowFile:
    """A CSV, YAML, TinyDB or JSON lines file, by the end of its name.

    Only one process may add rows at a time, as with these files in general.

    Raises:
        ConfigError: the name ends otherwise.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        kind = kind_of(str(self.path))
        if kind is None or self.path.suffix in (".gz", ".zst"):
            msg = f"{str(path)!r} is no file that rows can be added to."
            todo = "Its name must end in .csv, .tsv, .yaml, .yml, .json or .jsonl."
            raise ConfigError(msg, todo)
        self.kind: Kind = kind
        # Bytes of a YAML file to whose end rows can be added.
        self._size = 0

    def rows(self) -> Iterator[Numbered]:
        """Yield the rows with their numbers; none if the file does not exist.

        A value that is no row, such as half a line, is an empty one.

        Raises:
            ConfigError: the file is of another kind than its name says.
        """
        try:
            with self.path.open("rb") as stream:
                for number, row in self._rows_of(stream):
                    yield number, row if isinstance(row, dict) else {}
        except FileNotFoundError:
            return
        except ValueError as exc:
            if isinstance(exc, ConfigError):
                raise
            why = "no valid text" if isinstance(exc, UnicodeError) else str(exc)
            msg = f"{str(self.path)!r} cannot be read: {why}."
            raise ConfigError(msg, "Repair the file, and try again.") from None

    def _rows_of(self, stream: io.BufferedReader) -> Iterator[Numbered]:
        if self.kind == "csv":
            yield from csv_rows(stream)
        elif self.kind == "yaml":
            yield from yaml_rows(stream)
        elif self.kind == "lines":
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, _decoded(line.removeprefix(BOM_UTF8))
        elif content := stream.read().strip():
            value = msgspec.json.decode(content)
            if value != {} and not is_tinydb(value):
                msg = "it does not hold the tables of TinyDB"
                raise ValueError(msg)
            yield from tinydb_rows(value)

    def add(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Add a row at the end; return it as the file has it: CSV has only texts.

        Raises:
            ConfigError: the file has no place for one of its columns or values.
            StorageUnavailable: the file cannot be written.
        """
        if not isinstance(row, Mapping) or not row:
            msg = "A row is a mapping of names to values, with one value or more."
            raise ConfigError(msg, 'Give for example {"text": "..."}.')
        try:
            # Text that is no UTF-8 would make the file unreadable.
            msgspec.json.encode(row)
            if self.kind == "tinydb":
                return self._add_to_tinydb(row)
            make = {"csv": self._csv, "yaml": self._yaml, "lines": _line}[self.kind]
            text, kept = make(row)
            self._append(text)
        except OSError as exc:
            msg = f"{str(self.path)!r} cannot be written: {exc.strerror}."
            raise StorageUnavailable(msg, "The row was not added; try again.") from None
        except (TypeError, ValueError) as exc:
            if isinstance(exc, ConfigError):
                raise
            msg = f"A value of the row cannot be written to {str(self.path)!r}."
            raise ConfigError(msg, "Use text, numbers, lists and mappings.") from None
        return kept

    def _append(self, text: str) -> None:
        data = text.encode()
        # Without a buffer: closing the file would write what is left in it.
        with self.path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    data = b"\n" + data
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                # Half a row would make the file unreadable.
                file.truncate(size)
                raise

    def _csv(self, row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        names: list[str] = []
        delimiter = "\t" if self.path.suffix.lower() == ".tsv" else ","
        if self.path.exists() and self.path.stat().st_size:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                first = file.readline()
                if first.lower().startswith("sep="):
                    msg = f"{str(self.path)!r} begins with a line for spreadsheets."
                    raise ConfigError(msg, "Remove its first line.")
            delimiter = delimiter_of(first)
            names = names_of(next(csv.reader([first], delimiter=delimiter)))
        out = io.StringIO()
        # All cells in quotes: a carriage return in one would end its row.
        writer = csv.writer(
            out, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL
        )
        if not names:
            names = list(row)
            self._check_names(names)
            writer.writerow(names)
        if unknown := [name for name in row if name not in names]:
            msg = f"{str(self.path)!r} has no column {unknown[0]!r}."
            raise ConfigError(msg, f"Its columns are: {', '.join(names)}.")
        kept = {name: _cell(row.get(name)) for name in names}
        writer.writerow(kept.values())
        return out.getvalue(), kept

    def _check_names(self, names: list[Any]) -> None:
        """Refuse names of columns that a CSV file does not give back."""
        texts = [name for name in names if isinstance(name, str)]
        is_kept = texts == names and not any(c in n for n in texts for c in "\r\n")
        if is_kept and names_of(texts) == texts and not texts[0].startswith("sep="):
            return
        msg = f"A column of {str(self.path)!r} has a name that CSV cannot hold."
        raise ConfigError(msg, "Use texts of one line, not empty, without end blanks.")

    def _yaml(self, row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        try:
            import yaml
        except ModuleNotFoundError:
            msg = "YAML files need the package pyyaml."
            raise ConfigError(msg, install_todo("files")) from None
        try:
            text = yaml.safe_dump([dict(row)], allow_unicode=True, sort_keys=False)
        except yaml.YAMLError:
            msg = "not a value of YAML"
            raise TypeError(msg) from None
        kept = cast("dict[str, Any]", plain(yaml.safe_load(text)[0]))
        old = self.path.read_bytes() if self.path.exists() else b""
        if old and len(old) != self._size:
            self._check_end(old, text.encode(), kept)
        end = b"" if not old or old.endswith(b"\n") else b"\n"
        self._size = len(old + end + text.encode())
        return text, kept

    def _check_end(self, old: bytes, added: bytes, kept: dict[str, Any]) -> None:
        """Refuse a file that is no list of rows at the beginning of its lines."""
        before = [row for _, row in yaml_rows(old)]
        try:
            after = [row for _, row in yaml_rows(old + b"\n" + added)]
        except ValueError:
            after = []
        if after != [*before, kept]:
            msg = f"{str(self.path)!r} has a form to which no row can be added."
            todo = "Write it as one list, each row beginning with `- ` at its line."
            raise ConfigError(msg, todo)

    def _add_to_tinydb(self, row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            from tinydb import TinyDB
        except ModuleNotFoundError:
            msg = "Files of TinyDB are written by the package tinydb."
            raise ConfigError(msg, install_todo("files")) from None
        document = {n: v for n, v in row.items() if n != TABLE}
        # Before the whole file is written, which a failure would leave empty.
        kept: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
        name = str(row.get(TABLE, DEFAULT_TABLE))
        # TinyDB writes over its file: a full disk would leave a part of it.
        other = self.path.with_name(f".{self.path.name}.new")
        try:
            if self.path.exists():
                shutil.copy2(self.path, other)
            with TinyDB(other) as database:
                database.table(name).insert(kept)
            other.replace(self.path)
        finally:
            other.unlink(missing_ok=True)
        return kept if name == DEFAULT_TABLE else {**kept, TABLE: name}


def _cell(value: object) -> str:
    """Return what a cell holds, and what is read from it again."""
    if value is None:
        return ""
    return value if isinstance(value, str) else text_of(value)


def _decoded(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None


def _line(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    text = msgspec.json.encode(row)
    return text.decode() + "\n", msgspec.json.decode(text)
