"""Builds writers of the tables of `archive` on any lake, and reads these tables."""

from collections.abc import Sequence
from dataclasses import replace

from schemas.batches import Decoded
from schemas.metrics import Metrics
from semloop.delta.streams import StreamId
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.archive_tables import ArchiveTables
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext
from tests.support.builders import LOG, decoded_rows


def writer(
    lake: Settings,
    owned: Sequence[int] = (0, 1),
    stream: StreamId = LOG,
    **options: str,
) -> ArchiveTables:
    """A writer that owns nothing yet; `options` are storage options of deltalake."""
    storage = Storage.of(lake)
    storage = replace(storage, options={**storage.options, **options})
    return ArchiveTables(FlowContext(lake, storage, Metrics()), stream, owned)


def write(tables: ArchiveTables, offset: int, partition: int = 0) -> None:
    """Commit an event, and a dead letter at the next offset."""
    at = (partition, offset), (partition, offset + 1)
    add(tables, decoded_rows(at[:1], at[1:], {partition: offset + 1}, last=True))


def add(tables: ArchiveTables, decoded: Decoded) -> None:
    """Add an item through a new commit loop, as its first item."""
    CommitLoop(tables.settings, tables).add(decoded)


def stored(lake: Settings, table: str = "events") -> list[tuple[int, int]]:
    """(partition, offset) of all rows that `Lake` returns."""
    query = f"SELECT kafka_partition, kafka_offset FROM {table} ORDER BY ALL"
    with Lake(lake.lake) as opened:
        return opened.sql(query).fetchall()
