"""Writes rows to a file and to the lake, while an agent moves from one to the other.

    store = semloop.dual_write("memory.json", agent="notes-bot")
    store.insert({"text": "The customer prefers aisle seats."})
    print(store.differences())

The events have the ids that `semloop import` gives to the rows of the file, so either
may repeat what the other did, and nothing is stored twice.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from semloop.agent.agent import Agent
from semloop.errors import ConfigError
from semloop.event import DEFAULT_NAMESPACE
from semloop.rows.columns import Columns
from semloop.rows.files import RowFile
from semloop.rows.row_event import (
    RowEvent,
    RowEvents,
    UnusableName,
    row_of,
    row_time,
)
from semloop.rows.tables import store_name
from semloop.settings import Settings, load

# Row numbers and event ids that a text of differences lists.
LISTED_MAX = 5
_IDS = "SELECT event_id FROM events WHERE payload->>'$.store' = $store"
_PAYLOADS = """
SELECT payload FROM events WHERE payload->>'$.store' = $store
ORDER BY ts, topic_id, kafka_partition, kafka_offset
"""


@dataclass(frozen=True, slots=True)
class Differences:
    """How the rows of a file and its events in the lake differ; false if they agree.

    Args:
        in_both: number of rows that the lake has.
        only_in_file: numbers of the rows that it has not, from 1 (of a CSV file, of
            their lines).
        only_in_lake: ids of events of rows that the file has no longer.
        without_event: number of rows that can be no event: they have no content, tool,
            outcome or reward, or a user, session or agent that is no name.
    """

    in_both: int
    only_in_file: list[int]
    only_in_lake: list[str]
    without_event: int = 0

    def __bool__(self) -> bool:
        return bool(self.only_in_file or self.only_in_lake)

    def __str__(self) -> str:
        found: list[tuple[str, Sequence[object]]] = [
            ("only in the file", self.only_in_file),
            ("only in the lake", self.only_in_lake),
        ]
        parts = [f"{self.in_both:,} rows in both"]
        for what, those in found:
            listed = ", ".join(str(one) for one in those[:LISTED_MAX])
            more = ", ..." * (len(those) > LISTED_MAX)
            parts.append(f"{len(those):,} {what}{f' ({listed}{more})' * bool(those)}")
        if self.without_event:
            parts.append(f"{self.without_event:,} that can be no event")
        return "; ".join(parts) + "."


@dataclass(slots=True)
class DualWrite:
    """A file of rows whose new rows also become events; for any thread of one process.

    Args:
        file: CSV, YAML, TinyDB or JSON lines, which may not exist yet.
        events: makes the events of its rows.
        settings: of the lake, the broker and `dual_write_reads`.
    """

    file: RowFile
    events: RowEvents
    settings: Settings
    _agents: dict[tuple[str, str], Agent] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # Equal rows are counted, so that each has an id of its own.
        for _, row in self.file.rows():
            _made(self.events, row)

    def insert(self, row: Mapping[str, Any]) -> str | None:
        """Add a row to the file, then send its event; return the event's id.

        If the process ends in between, `differences` shows the row, and importing the
        file sends it. None: the row can be no event, and is in the file only.

        Raises:
            ConfigError: the file has no place for one of its columns or values.
            StorageUnavailable: the file cannot be written.
        """
        with self._lock:
            made = _made(self.events, self.file.add(row))
        if made is None:
            return None
        return self._agent(made).emit(
            made.kind, made.meta, made.payload, event_id=made.id, at=row_time(made.time)
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows: of the file, or of the lake if `dual_write_reads` says so.

        The lake has a row some seconds after `insert`. Its rows have no empty columns,
        and what redaction replaced is replaced.

        Raises:
            LakeError, StorageUnavailable: the lake cannot be read.
        """
        if self.settings.imports.dual_write_reads == "file":
            rows = (row for _, row in self.file.rows())
            filled = ({n: v for n, v in r.items() if v not in (None, "")} for r in rows)
            return [row for row in filled if row]
        return [row_of(msgspec.json.decode(text)) for text in self._in_lake(_PAYLOADS)]

    def differences(self) -> Differences:
        """Compare the file with the lake, by the ids of the events.

        Raises:
            LakeError, StorageUnavailable: the lake cannot be read.
        """
        counted = RowEvents(
            self.events.store, self.events.columns, self.events.agent,
            self.events.namespace, self.events.user,
        )  # fmt: skip
        stored = set(self._in_lake(_IDS))
        expected: dict[str, int] = {}
        without = 0
        for number, row in self.file.rows():
            made = _made(counted, row)
            if made is None:
                without += 1
            else:
                expected[made.id] = number
        missing = [number for one, number in expected.items() if one not in stored]
        extra = sorted(stored - expected.keys())
        return Differences(len(expected) - len(missing), missing, extra, without)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the broker has the events of all rows; False after a timeout."""
        return all(agent.flush(timeout_s) for agent in self._agents.values())

    def _in_lake(self, query: str) -> list[str]:
        from semloop.lake.lake import Lake

        with Lake(settings=self.settings) as lake:
            found = lake.sql(query, {"store": self.events.key}).fetchall()
        return [one for (one,) in found]

    def _agent(self, made: RowEvent) -> Agent:
        name = made.agent, str(made.meta["namespace"])
        if name not in self._agents:
            self._agents[name] = Agent(
                name[0], namespace=name[1], settings=self.settings
            )
        return self._agents[name]


def _made(events: RowEvents, row: Mapping[str, Any]) -> RowEvent | None:
    """Return the event of a row; None if it can be no event."""
    try:
        return events.event_of(row)
    except UnusableName:
        return None


def dual_write(
    path: str | os.PathLike[str],
    agent: str,
    *,
    columns: Mapping[str, str] | None = None,
    namespace: str = DEFAULT_NAMESPACE,
    user: str | None = None,
    store: str | None = None,
    settings: Settings | None = None,
) -> DualWrite:
    """Return a store whose rows go to a file and to the lake.

    Args:
        path: a file of CSV (.csv, .tsv), YAML, TinyDB (.json) or JSON lines (.jsonl).
        agent: of rows that name none.
        columns: the column for each field of an event, as `semloop import --map`; the
            usual names by default.
        namespace: of rows that name none.
        user: of rows that name none.
        store: what tells its rows from those of other files; the file's name without
            its end by default, so that a file in another folder needs one of its own.
        settings: read from the environment and `semloop.toml` if not given.

    Raises:
        ConfigError: the file is of another kind, or `columns` names no field.
    """
    if not agent.strip():
        msg = "dual_write needs the name of an agent."
        raise ConfigError(msg, 'Give for example agent="notes-bot".')
    try:
        chosen = Columns(dict(columns or {}))
    except (TypeError, ValueError) as exc:
        if isinstance(exc, ConfigError):
            raise
        msg = "Columns are a mapping of fields to names of columns."
        raise ConfigError(msg, 'Give for example {"content": "text"}.') from None
    name = store or store_name(str(path))
    events = RowEvents(name, chosen, agent, namespace, user)
    return DualWrite(RowFile(path), events, settings or load())
