"""Which partitions `archive` has met under a topic's name, as table `streams` says."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from semloop.delta.streams import Partition, StreamId
from semloop.delta.table import FollowedTable, files_of, reading
from semloop.storage.location import Storage

EVENTS = "events"
STREAMS = "streams"
COLUMNS = (
    "flow", "table_name", "cluster_id", "topic", "topic_id", "kafka_partition",
    "first_seen",
)  # fmt: skip


@dataclass(frozen=True)
class TopicStreams:
    """All streams of one topic name whose records are in `events`.

    `first_seen`: (log, partition) -> when it was first met.
    """

    topic: str
    first_seen: Mapping[tuple[StreamId, int], datetime]

    @classmethod
    def read(cls, storage: Storage, topic: str) -> "TopicStreams":
        """The streams as they are now; none where no flow ever ran.

        Raises:
            LakeError: they cannot be read. StorageUnavailable: not now.
        """
        with reading(storage):
            if not storage.has(STREAMS):
                return cls(topic, {})
            return cls.of(storage, FollowedTable(storage, STREAMS), topic)

    @classmethod
    def every(cls, storage: Storage) -> "list[TopicStreams]":
        """The same of all topics whose events are in the lake."""
        with reading(storage):
            if not storage.has(STREAMS):
                return []
            table = FollowedTable(storage, STREAMS)
            topics = {row["topic"] for row in _rows(storage, table)}
            found = [cls.of(storage, table, topic) for topic in sorted(topics)]
        return [streams for streams in found if streams.first_seen]

    @classmethod
    def of(cls, storage: Storage, table: FollowedTable, topic: str) -> "TopicStreams":
        """The streams as the newest version of the table has them."""
        found: dict[tuple[StreamId, int], datetime] = {}
        for row in _rows(storage, table):
            if (row["table_name"], row["topic"]) == (EVENTS, topic):
                names = (row["flow"], row["cluster_id"], topic, row["topic_id"])
                key = (StreamId(*names), row["kafka_partition"])
                seen = row["first_seen"]
                # Two copies that started at once may both have filed it.
                found[key] = min(seen, found.get(key, seen))
        return cls(topic, found)

    def owned(self, worker_index: int, worker_count: int) -> list[Partition]:
        """What a worker reads; nothing is fine."""
        return sorted(
            origin for origin in self.names if origin[1] % worker_count == worker_index
        )

    @cached_property
    def names(self) -> Mapping[Partition, Sequence[str]]:
        """Partition -> app ids under which its last offset in `events` is kept.

        More than one where a cluster or a flow got another name (`--new-log`).
        """
        found: dict[Partition, list[str]] = defaultdict(list)
        for log, partition in self.first_seen:
            key = Partition(log.topic_id, partition)
            found[key].append(log.app_id(EVENTS, partition))
        return dict(found)

    @cached_property
    def by_topic(self) -> Mapping[str, StreamId]:
        """Topic id, the newest first -> the log by which it was met first."""
        newest_first = sorted(
            self.first_seen.items(), key=lambda item: item[1], reverse=True
        )
        # Of one id the last that is put in holds: the oldest.
        return {log.topic_id: log for (log, _), _ in newest_first}

    @cached_property
    def replaced(self) -> frozenset[str]:
        """Topic ids that a newer one of the same name and cluster came after.

        Nothing is ever added to them: once their rows are consumed they are at an end.
        Two clusters may both be alive, so one does not replace the other's topic.
        """
        first_seen: dict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)
        for (log, _), seen in self.first_seen.items():
            topics = first_seen[log.flow, log.cluster_id]
            topics[log.topic_id] = min(seen, topics.get(log.topic_id, seen))
        newest = {max(ids, key=ids.__getitem__) for ids in first_seen.values()}
        every = {log.topic_id for log, _ in self.first_seen}
        return frozenset(every - newest)


def _rows(storage: Storage, table: FollowedTable) -> Iterator[dict[str, Any]]:
    open_file = storage.opener()
    for path in files_of(table.newest()):
        with open_file(f"{STREAMS}/{path}") as file:
            rows: pa.Table = pq.ParquetFile(file).read(columns=list(COLUMNS))
        yield from rows.to_pylist()
