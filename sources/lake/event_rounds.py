"""All rows of `events`, from the first one, in rounds: the input of a rebuild.

Each round ends where `archive` was when it began, so each is shorter than the one
before. The rows of a partition are in order of offsets, through all rounds.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pyarrow as pa

from schemas.batches import PolledEvents, Progress
from schemas.filling import Filling
from schemas.steps import ProgressCallback
from semloop.delta.streams import NEVER_READ, Partition
from semloop.errors import StorageUnavailable, Terminal
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.location import Storage
from sources.lake.reader import NOTHING, LakeReader
from sources.lake.streams import TopicStreams

# A switch needs `memory` not to be ahead: it reads what this has read, and later.
ROUNDS_MAX = 100


class EventRounds:
    """Reads the partitions of all topics, one topic after the other.

    `read`: number of rows so far.

    Unit of parallelism: none, one worker reads all partitions. Guarantee after a crash:
    none of its own; reading begins again.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        streams: Sequence[TopicStreams],
        rows: int,
        show: ProgressCallback,
    ) -> None:
        """Prepare to read.

        Args:
            settings: events per poll, and the time limit for retries.
            storage: the lake.
            streams: all topics of the lake.
            rows: rows of `events` when the rebuild began.
            show: called with (step, done, total) as work progresses.
        """
        self._settings = settings
        self._storage = storage
        self._streams = streams
        self._rows = rows
        self._show = show
        self.read = 0

    def rounds(self, filling: Filling) -> Iterator[PolledEvents]:
        """Yield all rounds; after each an item with `progress.last`.

        Args:
            filling: the writer sets `rounds` and `switched`, after each of these items.

        Raises:
            Terminal: `memory` is ahead after `ROUNDS_MAX` rounds.
            TopicChanged: a topic was recreated, or partitions were added.
            LakeError: `events` cannot be read.
            StorageUnavailable: it cannot be read within `storage_retry_s`.
        """
        with ExitStack() as stack:
            readers = [self._reader(streams) for streams in self._streams]
            for reader in readers:
                stack.callback(reader.close)
            for _ in range(ROUNDS_MAX):
                for reader in readers:
                    yield from self._round(reader)
                before = filling.rounds
                yield PolledEvents(NOTHING, Progress(last=True))
                while filling.rounds == before:
                    yield PolledEvents(NOTHING)
                if filling.switched:
                    return
        msg = "The flow `memory` reads faster than `rebuild` can follow."
        todo = "Run it again when there is less traffic, or stop `memory` meanwhile; "
        raise Terminal(msg, todo + "it resumes.")

    def until(
        self, until: Mapping[Partition, int], caught_up_ms: Mapping[Partition, int]
    ) -> Iterator[PolledEvents]:
        """Yield the rows up to an offset of each partition, then the end of each topic.

        Args:
            until: partition -> the last offset.
            caught_up_ms: as the flow that stopped there knew it.

        Raises as `rounds`, without Terminal.
        """
        for streams in self._streams:
            reader = self._reader(streams)
            try:
                for polled in self._round(reader):
                    yield _bounded(polled, until)
            finally:
                reader.close()
            owned = streams.owned(0, 1)
            ends = {p: until[p] + 1 for p in owned}
            times = {p: caught_up_ms[p] for p in owned if p in caught_up_ms}
            end = Progress(ends=ends, caught_up_ms=times, complete=True)
            yield PolledEvents(NOTHING, end)

    def _reader(self, streams: TopicStreams) -> LakeReader:
        begin = dict.fromkeys(streams.owned(0, 1), NEVER_READ)
        rows_max = self._settings.memory.poll_events
        return LakeReader(self._storage, streams, begin, rows_max)

    def _round(self, reader: LakeReader) -> Iterator[PolledEvents]:
        seconds = self._settings.commits.storage_retry_s
        complete = False
        while not complete:
            polled = retry(reader.poll, on=StorageUnavailable, seconds=seconds)
            complete = polled.progress.complete
            yield polled
            self.read += polled.events.num_rows
            self._show("events", self.read, max(self.read, self._rows))


def _bounded(polled: PolledEvents, until: Mapping[Partition, int]) -> PolledEvents:
    """Return the rows of a poll up to an offset, without the end of its snapshot."""
    rows = polled.events
    progress = replace(polled.progress, complete=False)
    if not rows.num_rows:
        return PolledEvents(rows, progress)
    names = ("topic_id", "kafka_partition", "kafka_offset")
    columns = (rows[name].to_pylist() for name in names)
    kept = [
        offset <= until[Partition(topic_id, number)]
        for topic_id, number, offset in zip(*columns, strict=True)
    ]
    return PolledEvents(rows.filter(pa.array(kept, pa.bool_())), progress)
