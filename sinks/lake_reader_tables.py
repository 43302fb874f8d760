"""What the tables of all flows that read `events` have in common.

Only the offsets of the main table determine where reading resumes.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence

from typing_extensions import override

from schemas.batches import Progress
from semloop.delta.streams import CAUGHT_UP, Partition, Streams
from semloop.errors import StorageUnavailable
from semloop.published import topics_of
from semloop.retry import retry
from sinks.delta.fenced_table import FencedTable
from sinks.delta.streams_table import register
from sinks.flow_tables import FlowContext, FlowTables, Item
from sinks.publishing.publisher import Publisher
from sinks.read_buffer import ReadBuffer


class LakeReaderTables(FlowTables[Item]):
    """The writer of the tables of a flow that reads `events`, for one worker.

    An idle flow does not commit.
    """

    # Name of the main table.
    main: str

    def __init__(
        self, context: FlowContext, streams: Streams, owned: Sequence[Partition]
    ) -> None:
        """Open no table yet; `take_over` does.

        Args:
            context: settings, lake, metrics and clock.
            streams: the streams that the flow reads, newest first; they name its
                offsets in the main table.
            owned: partitions of this worker.
        """
        super().__init__(context)
        self._streams = streams
        self._owned = tuple(owned)
        self._level_ms: int | None = None
        self._publisher: Publisher | None = None

    def take_over(self) -> dict[Partition, int]:
        """Fence off other writers, then read the positions to resume from.

        Returns:
            partition -> last offset read past, -1 if it was never read.

        Raises:
            TakenOver: a rival took over later. LakeError: the lake is not writable.
                StorageUnavailable: storage did not recover within `storage_retry_s`.
        """
        self._main = retry(
            self._take_over_once,
            on=StorageUnavailable,
            seconds=self.settings.commits.storage_retry_s,
        )
        if topics_of(self.flow, self.settings.publish.topics):
            self._publisher = self._new_publisher()
        return dict(self._main.offsets)

    @override
    def beat(self, *, last: bool) -> None:
        super().beat(last=last)
        if self._publisher is not None:
            self._publisher.beat(last=last)

    @property
    @override
    def fenced(self) -> Sequence[FencedTable]:
        return (self._main,)

    @property
    @override
    def caught_up_ms(self) -> int | None:
        return self._level_ms

    @abstractmethod
    def _take_over_once(self) -> FencedTable:
        """Create the tables and fence off other writers; return the main table."""

    @abstractmethod
    def _new_publisher(self) -> Publisher:
        """Return what produces the commits of this worker to the topics of the flow."""

    def _registered(self) -> FencedTable:
        """Store the names of the offsets, and open the main table."""
        for topic_id, stream in self._streams.by_topic_id.items():
            numbers = [p.number for p in self._owned if p.topic_id == topic_id]
            # `archive` already decided whether this cluster's topic may be stored here.
            register(
                self._storage, stream, (self.main,), numbers, self._context.now(),
                new_log=True,
            )  # fmt: skip
        return self._context.fenced_table(
            self.main, self._streams, self._owned, self._count_retry
        )

    def _note_level(self, progress: Progress, buffer: ReadBuffer) -> None:
        """Note when the flow was level with `archive`, if this poll reached its end."""
        read = {**self._main.offsets, **buffer.positions}
        ends = progress.ends
        if ends and all(read[partition] >= end - 1 for partition, end in ends.items()):
            # Not now: what came while the rows passed the steps still waits.
            self._level_ms = progress.seen_ms

    def _caught_up(self, buffer: ReadBuffer) -> dict[tuple[Partition, str], int]:
        """Return when `archive` had caught up, of the partitions read up to there."""
        positions = {**self._main.offsets, **buffer.positions}
        return {
            (partition, CAUGHT_UP): ms
            for partition, ms in buffer.caught_up_ms.items()
            if positions[partition] >= buffer.ends[partition] - 1
        }

    def _numbers(self, buffer: ReadBuffer) -> dict[tuple[Partition, str], int]:
        """Return all numbers of a commit except its offsets."""
        published = self._publisher.numbers if self._publisher else {}
        return {**self._caught_up(buffer), **published}

    def _report_positions(self, ends: Mapping[Partition, int]) -> None:
        """Set the metrics of lag and offset by partition."""
        metrics, lags = self._metrics, Counter[int]()
        newest = next(iter(self._streams.by_topic_id), None)
        for partition, end in ends.items():
            offset, number = self._main.offsets[partition], partition.number
            lags[number] += max(0, end - 1 - offset)
            if partition.topic_id == newest:
                metrics.set(
                    "semloop_last_offset", offset, flow=self.flow, partition=number
                )
        for number, lag in lags.items():
            metrics.set("semloop_lag_records", lag, flow=self.flow, partition=number)
