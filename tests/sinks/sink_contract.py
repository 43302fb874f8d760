"""The sinks that the contract suite runs against, and helpers for each of them.

To test a new sink, add a line to `SINKS`; the files `test_sink_*.py` then check the
same guarantees as for all others.
"""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction

from schemas.arrow import AGENT_METRICS, DEAD_LETTERS, EVENTS
from semloop.delta.streams import Partition, Streams
from semloop.lake.lake import Lake
from semloop.storage.location import Storage
from sinks.delta.create_table import create
from sinks.delta.delta_log import DeltaLog
from sinks.delta.fenced_table import FencedTable
from sinks.delta.table_log import TableLog
from sinks.delta.takeover import Takeover
from tests.support.builders import LOG

Log = TypeVar("Log", bound=DeltaLog)
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
# A value of each type that is easily corrupted: NUL, emoji, an empty tag, bytes that
# are not UTF-8, microseconds, an integer that a double cannot represent.
FULL: dict[pa.DataType, Any] = {
    pa.string(): "a\x00b\x1b[31m é 🙂 '\"\\\n",
    pa.list_(pa.string()): ["", "é 🙂", "a\x00b"],
    pa.binary(): b"\x00\xff\xfe{",
    pa.int32(): 2**31 - 1,
    pa.int64(): 2**53 + 1,
    pa.float64(): 0.1,
    # Compaction adds up the decimals of a few rows.
    pa.decimal128(38, 0): Decimal(10**36 - 1),
    pa.decimal128(38, 9): Decimal("-123456789012345678901234567.000000001"),
    pa.timestamp("us", "UTC"): NOON,
    pa.date32(): NOON.date(),
}


@dataclass(frozen=True)
class Sink:
    """A table that a flow writes, and builders of its writers and rows."""

    name: str
    schema: pa.Schema

    def create(self, storage: Storage) -> None:
        create(storage, self.name)

    def open_log(self, storage: Storage, kind: Callable[[DeltaLog], Log]) -> Log:
        """Open the table's log in a wrapper; creates the table if it is absent."""
        self.create(storage)
        return kind(TableLog(storage, self.name))

    def open(
        self,
        storage: Storage,
        owned: tuple[int, ...] = (0, 1),
        log: DeltaLog | None = None,
        **more: Any,
    ) -> FencedTable:
        """Return a writer that owns nothing yet."""
        self.create(storage)
        partitions = [Partition(LOG.topic_id, number) for number in owned]
        log = log or TableLog(storage, self.name)
        return FencedTable(log, Streams.of(LOG), partitions, **more)

    def taken(
        self,
        storage: Storage,
        owned: tuple[int, ...] = (0, 1),
        log: DeltaLog | None = None,
        **more: Any,
    ) -> FencedTable:
        """Return a writer that took over."""
        table = self.open(storage, owned, log, **more)
        Takeover(table, []).run()
        return table

    def rows(
        self, first: int, stop: int, partition: int = 0, **values: object
    ) -> pa.Table:
        """Return rows of consecutive offsets with every column filled."""
        full = {field.name: FULL[field.type] for field in self.schema}
        rows = [
            full
            # Rows of sums differ in a key, so that compaction keeps each of them.
            | {"duration_bucket": offset}
            | values
            | {
                "kafka_partition": partition,
                "kafka_offset": offset,
                "kafka_ts": NOON + timedelta(microseconds=offset),
            }
            for offset in range(first, stop)
        ]
        return pa.Table.from_pylist(rows, self.schema)

    def read(self, storage: Storage) -> pa.Table:
        """Return all rows, read through `Lake`, in order of offsets."""
        with Lake(storage.root) as lake:
            query = f"FROM tables.{self.name} ORDER BY kafka_partition, kafka_offset"
            found = lake.sql(query).to_arrow_table()
        return found.cast(self.schema)

    def offsets(self, storage: Storage) -> list[tuple[int, int]]:
        """Return (partition, offset) of all rows in the newest version."""
        files = self.files(storage)
        if not files:
            return []
        rows = duckdb.read_parquet(files).project("kafka_partition, kafka_offset")
        return sorted(rows.fetchall())

    def files(self, storage: Storage) -> list[str]:
        """Return the paths of the files in the newest version."""
        # Delta encodes the characters that a URI does not allow.
        return [unquote(uri) for uri in storage.open(self.name).file_uris()]

    def log(self, storage: Storage) -> Path:
        return Path(storage.uri(self.name), "_delta_log")


SINKS = [
    Sink("events", EVENTS),
    Sink("dead_letters", DEAD_LETTERS),
    Sink("agent_metrics", AGENT_METRICS),
]


def foreign_commit(handle: DeltaTable, app_id: str, retries: int | None = None) -> None:
    """Commit as a writer that owns none of our partitions."""
    handle.create_write_transaction(
        [],
        "append",
        handle.schema(),
        handle.metadata().partition_columns,
        commit_properties=CommitProperties(
            app_transactions=[Transaction(app_id, 1)], max_commit_retries=retries
        ),
    )


def clean_log(storage: Storage, name: str) -> None:
    """Commit as other writers, then expire log entries by setting back their mtime."""
    for number in range(3):
        foreign_commit(storage.open(name), f"other/{number}")
    handle = storage.open(name)
    handle.create_checkpoint()
    log = Path(storage.uri(name), "_delta_log")
    for entry in log.iterdir():
        os.utime(entry, (1e9, 1e9))
    handle.cleanup_metadata()
    assert not (log / f"{1:020}.json").exists()


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Simulate a full disk: no file can grow beyond `room` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
