"""A lake with rows of several dates and namespaces, of which some expire."""

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import EPISODES, EVENTS
from semloop.delta.streams import Partition, StreamId, Streams
from semloop.settings import Settings
from semloop.storage import store_time
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.streams_table import register
from sinks.delta.table_log import TableLog
from sinks.delta.takeover import Takeover
from tests.sources.events_table import EventsTable
from tests.support.builders import LOG, keyed

DAYS = 4
NAMESPACES = ("a", "b", None)
ROWS = 2 * len(NAMESPACES)


def written(settings: Settings, days: int = DAYS) -> EventsTable:
    """Write two commits of a row per namespace on each of the last days, oldest first.

    The payload of a row is `<day>-<namespace>`; day 0 is today.
    """
    table = EventsTable(Storage.of(settings), step=timedelta(seconds=1))
    today = store_time.now(table.storage).replace(hour=0, minute=0)
    for day in reversed(range(days)):
        table.now = today - timedelta(days=day)
        for commit in range(2):
            first = ROWS * (days - 1 - day) + len(NAMESPACES) * commit
            write(table, first, day)
    return table


def write(table: EventsTable, first: int, day: int = 0) -> None:
    """Commit one row per namespace."""
    rows: list[dict[str, Any]] = []
    for offset, namespace in enumerate(NAMESPACES, first):
        row = table.row(0, offset)
        rows.append(row | {"namespace": namespace, "payload": f"{day}-{namespace}"})
    read = keyed({0: rows[-1]["kafka_offset"]})
    table.table.commit(pa.Table.from_pylist(rows, EVENTS), read, {})
    table.now += timedelta(seconds=1)


def payloads(storage: Storage, table: str = "events") -> list[str]:
    """Return the payloads of all rows of the newest version."""
    found = storage.open(table).to_pyarrow_table(columns=["payload"])
    return sorted(found["payload"].to_pylist())


def payloads_in_any_file(storage: Storage) -> set[str]:
    """Return the payloads in all data files of `events`, those of no version too."""
    return {
        payload
        for _, data in contents(storage)
        for payload in pq.read_table(io.BytesIO(data))["payload"].to_pylist()
    }


def contents(storage: Storage) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of all data files of `events`."""
    for file in stored_files(storage, "events"):
        if "_delta_log" not in file.name:
            data = storage.read(file.name)
            assert data is not None
            yield file.name, data


class MemoryFlow:
    """The commits of a flow `memory`: its position, and revisions of episodes."""

    def __init__(self, storage: Storage, topic_id: str = LOG.topic_id) -> None:
        stream = StreamId("memory", LOG.cluster_id, LOG.topic, topic_id)
        create(storage, "episodes")
        now = store_time.now(storage)
        register(storage, stream, ("episodes",), (0,), now, new_log=True)
        log = TableLog(storage, "episodes")
        owned = [Partition(topic_id, 0)]
        self._table = FencedTable(log, Streams.of(stream), owned)
        Takeover(self._table, []).run()
        self._now = now

    def commit(
        self, offset: int, day: int = 0, namespace: str = "a", **episodes: str
    ) -> None:
        """Commit a position, and revisions (id -> state) that were made days ago."""
        at = self._now - timedelta(days=day)
        rows = [
            {
                "episode_id": episode, "state": state, "topic": LOG.topic,
                "namespace": namespace,
                "topic_id": LOG.topic_id, "kafka_partition": 0, "kafka_offset": offset,
                "kafka_ts": at, "ingested_at": at, "date": at.date(),
            }
            for episode, state in episodes.items()
        ]  # fmt: skip
        found = pa.Table.from_pylist(rows, EPISODES) if rows else None
        self._table.commit(found, keyed({0: offset}), {})
