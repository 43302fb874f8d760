"""Builder of table `events` for tests: commits like those of flow `archive`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.arrow import EVENTS
from schemas.batches import PolledEvents
from semloop.delta.streams import CAUGHT_UP, Partition, StreamId, Streams
from semloop.storage.location import Storage
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.streams_table import register
from sinks.delta.table_log import TableLog
from sinks.delta.takeover import Takeover
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams
from tests.support.builders import LOG, NOW, keyed


class EventsTable:
    """Writer of some partitions; each `commit` is `step` after the one before."""

    def __init__(
        self,
        storage: Storage,
        log: StreamId = LOG,
        partitions: Sequence[int] = (0, 1),
        step: timedelta = timedelta(minutes=1),
    ) -> None:
        self.storage = storage
        self.log = log
        self.now = NOW
        self._step = step
        create(storage, "events")
        register(storage, log, ("events",), partitions, self.now, new_log=True)
        owned = [Partition(log.topic_id, number) for number in partitions]
        events = TableLog(storage, "events")
        self.table = FencedTable(events, Streams.of(log), owned)
        Takeover(self.table, []).run()

    def commit(
        self,
        *rows: tuple[int, int],
        reached: Mapping[int, int] | None = None,
        caught_up: Mapping[int, int] | None = None,
    ) -> None:
        """Commit rows (partition, offset); `reached`: last offsets that have no rows."""
        offsets: dict[int, int] = {}
        for partition, offset in rows:
            offsets[partition] = max(offset, offsets.get(partition, -1))
        offsets |= reached or {}
        times = keyed(caught_up or {}, self.log.topic_id)
        numbers = {(p, CAUGHT_UP): ms for p, ms in times.items()}
        records = [self.row(*row) for row in rows]
        read = keyed(offsets, self.log.topic_id)
        self.table.commit(pa.Table.from_pylist(records, EVENTS), read, numbers)
        self.now += self._step

    def row(self, partition: int, offset: int) -> dict[str, Any]:
        """Return a row as the next commit would write it."""
        # Imported events may have decreasing times.
        ts = NOW - timedelta(seconds=offset * 7 % 100)
        return {
            "event_id": f"{partition}-{offset}", "type": "message", "ts": ts,
            "payload": "{}", "tags": ["é", ""], "topic": self.log.topic,
            "topic_id": self.log.topic_id, "kafka_partition": partition,
            "kafka_offset": offset, "kafka_ts": NOW, "ingested_at": self.now,
            "date": self.now.date(),
        }  # fmt: skip

    def files(self) -> list[Path]:
        """Return the data files, oldest first."""
        found = Path(self.storage.uri("events")).rglob("*.parquet")
        return sorted(
            (file for file in found if "_delta_log" not in file.parts),
            key=lambda file: file.stat().st_mtime_ns,
        )

    def vacuum(self) -> None:
        """Remove every file that is not in the newest version."""
        handle = self.storage.open("events")
        handle.vacuum(0, dry_run=False, enforce_retention_duration=False)


def open_reader(
    storage: Storage,
    positions: Mapping[Partition, int] | None = None,
    rows_max: int = 10_000,
    topic: str = LOG.topic,
) -> LakeReader:
    """Open a reader of all partitions, from the beginning by default."""
    streams = TopicStreams.read(storage, topic)
    begin = dict.fromkeys(streams.owned(0, 1), -1)
    return LakeReader(storage, streams, begin | dict(positions or {}), rows_max)


def origins(polled: PolledEvents) -> list[tuple[int, int]]:
    """Return the (partition, offset) of each row of a poll."""
    columns = ("kafka_partition", "kafka_offset")
    found = (polled.events[name].to_pylist() for name in columns)
    return list(zip(*found, strict=True))


def read_to_end(reader: LakeReader) -> list[tuple[int, int]]:
    """Read the current snapshot completely; return (partition, offset) of all rows."""
    found = []
    while True:
        polled = reader.poll()
        found += origins(polled)
        if polled.progress.complete:
            return found


def archived(polled: PolledEvents, partition: Partition) -> tuple[int, int | None]:
    """Return `archive`'s last committed offset and the time it was last caught up."""
    progress = polled.progress
    return progress.ends[partition] - 1, progress.caught_up_ms.get(partition)
