"""Which partitions `archive` has met under a topic's name, as table `streams` says."""

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
        return cls.of(read_streams(storage), topic)

    @classmethod
    def every(cls, storage: Storage) -> "list[TopicStreams]":
        """The same of all topics whose events are in the lake."""
        rows = read_streams(storage)
        topics = {row.stream.topic for row in rows if row.table == EVENTS}
        return [cls.of(rows, topic) for topic in sorted(topics)]

    @classmethod
    def of(cls, rows: Iterable[StreamRow], topic: str) -> "TopicStreams":
        """Those of a topic among the rows of `streams`."""
        found: dict[tuple[StreamId, int], datetime] = {}
        for row in rows:
            if (row.table, row.stream.topic) == (EVENTS, topic):
                key = (row.stream, row.partition.number)
                # Two copies that started at once may both have filed it.
                found[key] = min(row.first_seen, found.get(key, row.first_seen))
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
