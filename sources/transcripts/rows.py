"""Rows of CSV and YAML files, of TinyDB, and of JSON: an event each.

Columns become fields of events by their usual names, or as the user says; all other
columns stay in the payload under `source`.
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Literal

import msgspec

from semloop.errors import ConfigError
from semloop.event import DEFAULT_NAMESPACE, Envelope, Meta, decode_payload
from semloop.rows.row_event import RowEvent, RowEvents, UnusableName, row_time
from semloop.rows.tables import (
    csv_rows,
    is_tinydb,
    kind_of,
    tinydb_rows,
    yaml_rows,
)  # fmt: skip
from sources.transcripts.envelopes import WITHOUT_TIME
from sources.transcripts.format import VALUE_ERRORS, Container, Format, Made, Value
from sources.transcripts.imported import ImportedEvent
from sources.transcripts.json_values import Cut
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options

AGENT = "import"
_TICK = timedelta(microseconds=1)
# What to do with a file that cannot be read.
REMEDIES: dict[str | None, str] = {
    "csv": "Save it as UTF-8, with the names of the columns in its first line.",
    "yaml": "Write it as UTF-8, as a list of mappings of names to values.",
}
_ROWS = {"csv": csv_rows, "yaml": yaml_rows}


def table_of(path: str, form: str) -> Literal["csv", "yaml"] | None:
    """Return how the rows of a file are cut out of it; None if it is JSON."""
    kind = form if form in _ROWS else kind_of(path) if form == "auto" else None
    return "csv" if kind == "csv" else "yaml" if kind == "yaml" else None


def no_rows(where: str, title: str, form: str) -> ConfigError:
    """Return the error of a file of transcripts for which the user chose columns."""
    msg = f"{where} contains {title}; --map is for rows."
    return ConfigError(msg, f"Import it without --map, or as rows: --format {form}.")


def cuts_of(stream: io.BufferedReader, table: Literal["csv", "yaml"]) -> Iterator[Cut]:
    """Yield each row as JSON, with the number of its line or element.

    Raises:
        ConfigError: the first line of a CSV file does not name the columns.
        ValueError: the file is not valid.
    """
    for number, row in _ROWS[table](stream):
        yield number, msgspec.json.encode(row)


def _read_checked(
    values: Iterable[Value], options: Options, ledger: Ledger
) -> Iterator[Made]:
    """Read rows that all have the same columns."""
    iterator = iter(values)
    for first in iterator:
        if isinstance(first.json, dict):
            options.columns.check(first.json, options.where)
        yield from _read(chain([first], iterator), options, ledger)


def _read(values: Iterable[Value], options: Options, ledger: Ledger) -> Iterator[Made]:
    table = _Table(options, ledger)
    for value in values:
        for row in table.rows_of(value):
            ledger.met += 1
            try:
                made = table.event_of(row)
            except (*VALUE_ERRORS, TypeError) as exc:
                if isinstance(exc, UnusableName):
                    table.unusable[exc.field, exc.column] += 1
                ledger.met -= 1
                raw = value.raw if row is value.json else msgspec.json.encode(row)
                ledger.refused.append((value.number, raw))
                continue
            if made is not None:
                yield value.number, made[0], made[1]
    table.tell()


@dataclass(slots=True)
class _Table:
    """The rows of one file: their columns, and the times of their sessions."""

    options: Options
    ledger: Ledger
    names: dict[str, None] = field(default_factory=dict)
    unusable: Counter[tuple[str, str]] = field(default_factory=Counter)
    _untimed: int = 0
    _last: dict[tuple[str, ...], datetime] = field(default_factory=dict)
    _events: RowEvents = field(init=False)

    def __post_init__(self) -> None:
        given = self.options
        other = given.stores.setdefault(given.store, given.where)
        if other != given.where:
            msg = f"{given.where} and {other} are both the store {given.store!r}."
            todo = "Import them one by one, each with a --store of its own."
            raise ConfigError(msg, todo)
        self._events = RowEvents(
            given.store, given.columns, given.agent or AGENT,
            given.namespace or DEFAULT_NAMESPACE, given.user,
        )  # fmt: skip

    def rows_of(self, value: Value) -> Iterator[dict[str, Any]]:
        """Yield the rows of a value: all documents of TinyDB, or itself.

        Raises:
            ConfigError: no row of the file has a column that the user chose.
        """
        found = value.json
        if not isinstance(found, dict):
            self.ledger.met += 1
            self.ledger.leave_out("value", "is no object")
            return
        if is_tinydb(found):
            rows = [row for _, row in tinydb_rows(found)]
            for row in rows:
                self.names |= dict.fromkeys(row)
            if rows:
                self.options.columns.check(self.names, self.options.where)
        else:
            rows = [found]
            self.names |= dict.fromkeys(found)
        yield from rows

    def event_of(self, row: Mapping[str, object]) -> tuple[str, ImportedEvent] | None:
        """Return a row as an event with its session; None if it is left out."""
        made, ledger = self._events.event_of(row), self.ledger
        if made is None:
            ledger.leave_out("row", "without content, tool, outcome or reward")
            return None
        raw = msgspec.json.encode(made.payload)
        decode_payload[made.kind](msgspec.Raw(raw))
        meta = msgspec.convert(made.meta, Meta)
        at = self._time(made)
        if self.options.since is not None and at < self.options.since:
            ledger.leave_out("row", "before --since")
            return None
        event = Envelope(
            id=made.id, type=made.kind, timestamp=at, agent=made.agent,  # type: ignore[arg-type]
            payload=msgspec.Raw(raw), meta=meta,
        )  # fmt: skip
        ledger.events += 1
        ledger.made[made.kind] += 1
        return meta.session_id, ImportedEvent(made.id, msgspec.json.encode(event))

    def _time(self, made: RowEvent) -> datetime:
        """Return the time of a row, or one just after the row before it."""
        session = (made.agent, made.meta["namespace"], made.meta["session_id"])
        last = self._last.get(session)
        at = row_time(made.time)
        self._untimed += at is None and made.time is not None
        if at is None and last is None:
            self.ledger.notes[WITHOUT_TIME] += 1
            at = self.options.file_time
        elif at is None:
            assert last is not None
            at = last + _TICK
        self._last[session] = at
        return at

    def tell(self) -> None:
        """Say which columns were used, and which the user chose in vain."""
        used = self.options.columns.used(self.names)
        taken = ", ".join(f"{name} <- {column}" for name, column in used.items())
        others = len(set(self.names) - set(used.values()))
        lines = [
            f"{self.options.where}: {taken or 'no column is known'}; "
            f"other columns, kept in `source`: {others:,}."
        ]
        lines += [
            f"{self.options.where}: no row has a column {column!r}."
            for column in self.options.columns.chosen.values()
            if column.partition(".")[0] not in self.names and column not in self.names
        ]
        lines += [
            f"{self.options.where}: {count:,} rows become dead letters: column "
            f"{column!r} holds no {name}; choose another one with --map {name}=COLUMN."
            for (name, column), count in self.unusable.items()
        ]
        if self._untimed:
            lines.append(
                f"{self.options.where}: rows with a time that cannot be read, which "
                f"follow the row before: {self._untimed:,}; write it as RFC 3339."
            )
        self.ledger.remarks.extend(lines)


def _recognize(values: list[object], container: Container) -> str | None:
    if len(values) == 1 and container == "values" and is_tinydb(values[0]):
        return "its tables hold numbered documents, as TinyDB writes them"
    return None


def _never(_: list[object], __: Container) -> str | None:
    return None


ROWS = Format("rows", "rows", _recognize, _read)
CSV = Format("csv", "rows of CSV", _never, _read_checked)
YAML = Format("yaml", "rows of YAML", _never, _read)
