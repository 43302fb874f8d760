"""Topics, their logs and the offsets of groups, in one folder; bounded in size."""

import asyncio
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from semloop.broker.errors import Code, Refused
from semloop.broker.partition import PartitionLog
from semloop.broker.recovery import open_folder, recovered_state, recovered_topics
from semloop.broker.segment import Segment, sync_files
from semloop.broker.state import Groups, State, boot_id, write_state
from semloop.broker.topic import Topic, check_topic

# A committed record stays for a moment: who watches the topic can still read it.
KEEP_S = 300.0
SHORT_SHARE = 0.5
# Each partition has a file, a list of producers and an entry in each response.
PARTITIONS_MAX = 1_000


class Store:
    """All that the broker keeps.

    Attributes:
        cluster_id: id of the folder's logs.
        topics: by name.
        groups: offsets committed by consumer groups.
    """

    def __init__(self, path: Path, bytes_max: int, group: str) -> None:
        """Open or create the folder.

        Args:
            path: of the folder.
            bytes_max: of all logs together.
            group: whose committed records are deleted.

        Raises:
            Locked: another broker uses it.
            OSError: it cannot be used.
        """
        self._folder = open_folder(path)
        self._bytes_max = bytes_max
        self._group = group
        state = recovered_state(self._folder)
        self.cluster_id = state.cluster_id
        self.groups = Groups(state.groups)
        self.topics = recovered_topics(self._folder, state)
        self._is_changed = False
        # What a crash left may only be in the pages of the system yet.
        sync_files([segment.begin_sync() for segment in self._segments()])
        self._synced = self._sizes()
        # From now on the state on disk is not that of a clean end.
        self._write_state()

    def log(self, topic: str, partition: int) -> PartitionLog:
        """Return the log of a partition.

        Raises:
            Refused: it does not exist.
        """
        found = self.topics.get(topic)
        if found is None or not 0 <= partition < len(found.partitions):
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION)
        return found.partitions[partition]

    def append(self, topic: str, partition: int, data: bytes) -> int:
        """Store a batch; return the offset of its first record.

        Raises:
            Refused: the batch is invalid, or there is no room: try again later.
        """
        log = self.log(topic, partition)
        return log.append(data, self.topics[topic].bytes_max, self.is_full)

    def is_full(self, size: int) -> bool:
        """Return True if there is no room for `size` more bytes."""
        if self.size + size <= self._bytes_max:
            return False
        self._delete_committed(idle_s=0.0)
        return self.size + size > self._bytes_max

    @property
    def size(self) -> int:
        """Bytes of all logs."""
        return sum(log.size for log in self._logs())

    def check_new(self, name: str, partitions: int, config: dict[str, str]) -> None:
        """Check that a topic can be created.

        Raises:
            Refused: its name, size or configuration is not valid, or it exists.
        """
        if name in self.topics:
            raise Refused(Code.TOPIC_ALREADY_EXISTS, f"Topic {name!r} exists.")
        check_topic(name, config)
        _check_count(self.topics.values(), partitions)

    def create(self, name: str, partitions: int, config: dict[str, str]) -> None:
        """Create a topic that was checked."""
        self._add_partitions(Topic(name, uuid.uuid4(), config, []), partitions)

    def grow(self, name: str, partitions: int) -> None:
        """Add partitions to a topic until it has `partitions`.

        Raises:
            Refused: it does not exist, or has as many.
        """
        topic = self.topics.get(name)
        if topic is None:
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION)
        if partitions <= len(topic.partitions):
            raise Refused(Code.INVALID_PARTITIONS, "The number can only grow.")
        _check_count(self.topics.values(), partitions - len(topic.partitions))
        self._add_partitions(topic, partitions - len(topic.partitions))

    def delete(self, name: str) -> None:
        """Delete a topic with its records.

        Raises:
            Refused: it does not exist.
        """
        topic = self.topics.pop(name, None)
        if topic is None:
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION)
        self.groups.forget(name)
        for log in topic.partitions:
            log.delete()
        self._write_state()

    def delete_before(self, topic: str, partition: int, offset: int | None) -> int:
        """Delete the records before an offset, None for all; return the oldest offset.

        Raises:
            Refused: the partition does not exist, or the offset is after its end.
        """
        log = self.log(topic, partition)
        log.delete_before(log.next_offset if offset is None else offset)
        self._is_changed = True
        return log.start_offset

    def make_room(self) -> None:
        """Delete what was committed a while ago; if space is short, all of it.

        Raises:
            OSError: the disk is full, so no new file can be begun.
        """
        is_short = self.size > self._bytes_max * SHORT_SHARE
        self._delete_committed(0.0 if is_short else KEEP_S)
        for log in self._logs():
            log.close_segment(KEEP_S)

    def _delete_committed(self, idle_s: float) -> None:
        """Delete committed records of files without an append for this long."""
        for topic in self.topics.values():
            for number, log in enumerate(topic.partitions):
                committed = self.groups.offset(self._group, topic.name, number)
                self._is_changed |= log.delete_committed(committed, idle_s)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Store the offset that a group reads next.

        Raises:
            Refused: the partition does not exist.
        """
        self.log(topic, partition)
        self.groups.commit(group, topic, partition, offset)
        self._is_changed = True

    async def sync(self) -> None:
        """Write what changed to disk, without blocking requests meanwhile."""
        sizes, segments = self._sizes(), list(self._segments())
        files = [segment.begin_sync() for segment in segments if segment.is_dirty]
        if not files and not self._is_changed:
            return
        self._is_changed = False
        await asyncio.to_thread(sync_files, files)
        self._synced = sizes
        self._write_state()

    def close(self) -> None:
        """Write everything to disk at a clean end."""
        self._delete_committed(idle_s=0.0)
        sync_files([segment.begin_sync() for segment in self._segments()])
        self._synced = self._sizes()
        self._write_state(clean=True)
        for segment in self._segments():
            segment.close()
        os.close(self._folder)

    def _write_state(self, *, clean: bool = False) -> None:
        topics = {topic.name: topic.as_state() for topic in self.topics.values()}
        state = State(
            self.cluster_id,
            clean,
            boot_id(),
            os.fstat(self._folder).st_ino,
            topics,
            self.groups.offsets,
            self._synced,
        )
        write_state(self._folder, state)

    def _add_partitions(self, topic: Topic, count: int) -> None:
        first = len(topic.partitions)
        for number in range(first, first + count):
            topic.partitions.append(PartitionLog(self._folder, topic.prefix(number)))
        self.topics[topic.name] = topic
        self._write_state()

    def _sizes(self) -> dict[str, int]:
        return {segment.name: segment.size for segment in self._segments()}

    def _segments(self) -> Iterator[Segment]:
        for log in self._logs():
            yield from log.segments

    def _logs(self) -> Iterator[PartitionLog]:
        for topic in self.topics.values():
            yield from topic.partitions


def _check_count(topics: Iterable[Topic], count: int) -> None:
    """Check that `count` partitions can be added."""
    in_use = sum(len(each.partitions) for each in topics)
    if count < 1 or in_use + count > PARTITIONS_MAX:
        what = f"All topics together have 1 to {PARTITIONS_MAX} partitions."
        raise Refused(Code.INVALID_PARTITIONS, what)
