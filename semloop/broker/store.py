"""Topics, their logs and the offsets of groups, in one folder; bounded in size."""

import asyncio
import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from semloop.broker.errors import Code, Refused
from semloop.broker.partition import PartitionLog
from semloop.broker.recovery import open_folder, recovered
from semloop.broker.segment import Segment
from semloop.broker.state import Groups, State, boot_id, write_state
from semloop.broker.topic import Topic

# A committed record stays for a moment: who watches the topic can still read it.
KEEP_S = 300.0
SHORT_SHARE = 0.5
# What is not stored in the lake must not take the room of what is: topics that
# the group of `archive` has not read for this long get this share, all together.
UNREAD_S = 3_600.0
UNREAD_SHARE = 0.25


class Store:
    """All that the broker keeps.

    Attributes:
        folder: its descriptor.
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
        self.folder = open_folder(path)
        self._bytes_max = bytes_max
        self._group = group
        state, self.topics = recovered(self.folder)
        self.groups = Groups(state.groups, group)
        now_s = time.monotonic()
        # Topic -> when the group committed an offset of it; at a start, now.
        self._read_s = dict.fromkeys(state.groups.get(group, {}), now_s)
        # From now on the state on disk is not that of a clean end. What a crash left in
        # the pages of the system is synced with the first tick.
        self._write_state()

    def topic(self, name: str) -> Topic:
        """Return a topic.

        Raises:
            Refused: it does not exist.
        """
        if name not in self.topics:
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION)
        return self.topics[name]

    def log(self, topic: str, partition: int) -> PartitionLog:
        """Return the log of a partition.

        Raises:
            Refused: it does not exist.
        """
        partitions = self.topic(topic).partitions
        if not 0 <= partition < len(partitions):
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION)
        return partitions[partition]

    def append(self, topic: str, partition: int, data: bytes) -> int:
        """Store a batch; return the offset of its first record.

        Raises:
            Refused: the batch is invalid, or there is no room: try again later.
        """
        log = self.log(topic, partition)
        # What can never fit is refused for good.
        bytes_max = min(self.topics[topic].bytes_max, self._bytes_max)
        is_full = self._exceeds_share if self._is_unread(topic) else self.is_full
        return log.append(data, bytes_max, is_full)

    def _is_unread(self, topic: str) -> bool:
        """Return True if the group reads other topics, but not this one."""
        latest_s = max(self._read_s.values(), default=-math.inf)
        return self._read_s.get(topic, -math.inf) < latest_s - UNREAD_S

    def _exceeds_share(self, size: int) -> bool:
        """Return True if there is no room for `size` more bytes of unread topics."""
        unread = [each for each in self.topics.values() if self._is_unread(each.name)]
        held = sum(log.size for topic in unread for log in topic.partitions)
        return held + size > UNREAD_SHARE * self._bytes_max or self.is_full(size)

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

    def replace(self, topics: dict[str, Topic], groups: Groups) -> None:
        """Change the topics, unless the state cannot name them: a crash forgets those.

        Raises:
            OSError: nothing was changed.
        """
        before = self.topics, self.groups
        self.topics, self.groups = topics, groups
        try:
            self._write_state()
        except OSError:
            self.topics, self.groups = before
            raise

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
        self._is_changed |= any([t.keep_newest() for t in self.topics.values()])
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
            Refused: the partition or the offset does not exist.
        """
        if not 0 <= offset <= self.log(topic, partition).next_offset:
            raise Refused(Code.OFFSET_OUT_OF_RANGE)
        self.groups.commit(group, topic, partition, offset)
        if group == self._group:
            self._read_s[topic] = time.monotonic()
        self._is_changed = True

    async def sync(self) -> None:
        """Write what changed to disk, without blocking requests meanwhile.

        Raises:
            OSError: some of it could not be written.
        """
        dirty = [segment for segment in self._segments() if segment.is_dirty]
        if not dirty and not self._is_changed:
            return
        self._is_changed = True
        failure: OSError | None = None
        for segment in dirty:
            if segment.is_dirty:  # not deleted meanwhile
                try:
                    await asyncio.to_thread(segment.begin_sync())
                except OSError as error:
                    failure = error
        self._write_state()
        if failure:
            raise failure

    def close(self) -> None:
        """Write everything to disk at a clean end."""
        self._delete_committed(idle_s=0.0)
        for segment in self._segments():
            if segment.is_dirty:
                with suppress(OSError):
                    segment.begin_sync()()
        # What is only in the pages of the system does not survive the machine.
        self._write_state(clean=all(s.synced >= s.size for s in self._segments()))
        for segment in self._segments():
            segment.close()
        os.close(self.folder)

    def _write_state(self, *, clean: bool = False) -> None:
        topics = {topic.name: topic.as_state() for topic in self.topics.values()}
        state = State(
            clean,
            boot_id(),
            os.fstat(self.folder).st_ino,
            topics,
            self.groups.offsets,
            {segment.name: segment.synced for segment in self._segments()},
        )
        write_state(self.folder, state)
        self._is_changed = False

    def _segments(self) -> Iterator[Segment]:
        for log in self._logs():
            yield from log.segments

    def _logs(self) -> Iterator[PartitionLog]:
        for topic in self.topics.values():
            yield from topic.partitions
