"""Partitions that `archive` has read under a topic name, from table `streams`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from semloop.delta.streams import Partition, StreamId
from semloop.delta.streams_table import StreamRow, read_streams
from semloop.storage.location import Storage

EVENTS = "events"


@dataclass(frozen=True)
class TopicStreams:
    """All streams of one topic name whose records are in `events`.

    `first_seen`: (stream, partition) -> when `archive` first read it.
    """

    topic: str
    first_seen: Mapping[tuple[StreamId, int], datetime]

    @classmethod
    def read(cls, storage: Storage, topic: str) -> "TopicStreams":
        """Read the current streams; empty where no flow ever ran.

        Raises:
            LakeError: they cannot be read.
            StorageUnavailable: they cannot be read now.
        """
        return cls.of(read_streams(storage), topic)

    @classmethod
    def every(cls, storage: Storage) -> "list[TopicStreams]":
        """Read the streams of all topics whose events are in the lake."""
        rows = read_streams(storage)
        topics = {row.stream.topic for row in rows if row.table == EVENTS}
        return [cls.of(rows, topic) for topic in sorted(topics)]

    @classmethod
    def of(cls, rows: Iterable[StreamRow], topic: str) -> "TopicStreams":
        """Select the streams of a topic from the rows of table `streams`."""
        found: dict[tuple[StreamId, int], datetime] = {}
        for row in rows:
            if (row.table, row.stream.topic) == (EVENTS, topic):
                key = (row.stream, row.partition.number)
                # Two copies that started at the same time may both have registered it.
                found[key] = min(row.first_seen, found.get(key, row.first_seen))
        return cls(topic, found)

    def owned(self, worker_index: int, worker_count: int) -> list[Partition]:
        """Return the partitions that a worker reads, possibly an empty list."""
        return sorted(
            origin for origin in self.names if origin[1] % worker_count == worker_index
        )

    @cached_property
    def names(self) -> Mapping[Partition, Sequence[str]]:
        """Partition -> app ids under which its last offset in `events` is stored.

        More than one where a cluster or a flow was renamed (`--new-log`).
        """
        found: dict[Partition, list[str]] = defaultdict(list)
        for stream, partition in self.first_seen:
            key = Partition(stream.topic_id, partition)
            found[key].append(stream.app_id(EVENTS, partition))
        return dict(found)

    @cached_property
    def by_topic(self) -> Mapping[str, StreamId]:
        """Topic id, newest first -> the stream under which it was first read."""
        newest_first = sorted(
            self.first_seen.items(), key=lambda item: item[1], reverse=True
        )
        # The last entry of a topic id wins: the oldest.
        return {stream.topic_id: stream for (stream, _), _ in newest_first}

    @cached_property
    def replaced(self) -> frozenset[str]:
        """Topic ids replaced by a newer one of the same name and cluster.

        They receive no more rows: once all are consumed, they are complete. Topics of
        two clusters may both be in use, so they do not replace each other.
        """
        first_seen: dict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)
        for (stream, _), seen in self.first_seen.items():
            topics = first_seen[stream.flow, stream.cluster_id]
            topics[stream.topic_id] = min(seen, topics.get(stream.topic_id, seen))
        newest = {max(ids, key=ids.__getitem__) for ids in first_seen.values()}
        every = {stream.topic_id for stream, _ in self.first_seen}
        return frozenset(every - newest)
