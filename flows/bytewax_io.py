"""Readers and writers of ours as Bytewax's sources and sinks: one shell for each.

Both are partition-local: what a worker reads, the same worker writes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Generic, Protocol, TypeVar

from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override

from flows.guard import ends_process
from schemas.batches import Polled, PolledEvents, ReindexPart, Upkeep

Item = TypeVar("Item", bound=Polled | PolledEvents | ReindexPart | Upkeep)
Item_co = TypeVar(
    "Item_co", bound=Polled | PolledEvents | ReindexPart | Upkeep, covariant=True
)
Written = TypeVar("Written")
Written_contra = TypeVar("Written_contra", contravariant=True)
PollGuard = Callable[[Callable[[], Item]], Callable[[], Item]]


class Reader(Protocol[Item_co]):
    """What reads a source for one worker."""

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the start has been returned."""

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next poll."""

    def poll(self) -> Item_co:
        """The next item; one without rows (a tick) where nothing is new.

        Raises:
            StopIteration: the input has ended.
        """

    def close(self) -> None:
        """Release what is open; commits nothing, since it runs after a crash too."""


class Writer(Protocol[Written_contra]):
    """What writes the items of one worker."""

    def add(self, item: Written_contra, /) -> None:
        """Take an item."""


class ReaderSource(DynamicSource[Item]):
    """Bytewax source: one item per poll, a tick when nothing came.

    Unit of parallelism: a worker. Guarantee after a crash: none of its own; reading
    starts where `open_reader` says, which asks the tables.
    """

    def __init__(
        self,
        open_reader: Callable[[int, int], Reader[Item]],
        *,
        until_caught_up: bool = False,
        guard: PollGuard[Item] = ends_process,
    ) -> None:
        """Nothing is opened before the flow runs.

        Args:
            open_reader: (worker index, worker count) -> its reader, after taking over.
            until_caught_up: end once all that was there at the start is returned.
            guard: wraps what may fail, to decide how the process ends.
        """
        self._open_reader = open_reader
        self._until_caught_up = until_caught_up
        self._guard = guard

    @override
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> "StatelessSourcePartition[Item]":
        reader = self._open_reader(worker_index, worker_count)
        poll = self._guard(reader.poll)
        return _Polls(reader, poll, until_caught_up=self._until_caught_up)


class _Polls(StatelessSourcePartition[Item]):
    def __init__(
        self,
        reader: Reader[Item],
        poll: Callable[[], Item],
        *,
        until_caught_up: bool,
    ) -> None:
        self._reader = reader
        self._poll = poll
        self._until_caught_up = until_caught_up
        self._awake: datetime | None = None
        self._done = False

    @override
    def next_batch(self) -> Sequence[Item]:
        if self._done:
            raise StopIteration
        item = self._poll()
        if self._until_caught_up and self._reader.caught_up:
            self._done, self._awake = True, None
            return [replace(item, progress=replace(item.progress, last=True))]
        pause_s = self._reader.pause_s
        self._awake = (
            datetime.now(UTC) + timedelta(seconds=pause_s) if pause_s else None
        )
        return [item]

    @override
    def next_awake(self) -> datetime | None:
        return self._awake

    @override
    def close(self) -> None:
        self._reader.close()


class WriterSink(DynamicSink[Written], Generic[Written]):
    """Bytewax sink around the writer of each worker.

    Unit of parallelism: a worker. Guarantee: that of the writer.
    """

    def __init__(
        self,
        writer_of: Callable[[int], Writer[Written]],
        guard: Callable[[Callable[[Written], None]], Callable[[Written], None]] = (
            ends_process
        ),
    ) -> None:
        """Nothing is written before the flow runs.

        Args:
            writer_of: worker index -> the writer that the worker's source opened.
            guard: wraps what may fail, to decide how the process ends.
        """
        self._writer_of = writer_of
        self._guard = guard

    @override
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> "StatelessSinkPartition[Written]":
        return _Writes(self._writer_of, worker_index, self._guard)


class _Writes(StatelessSinkPartition[Written]):
    def __init__(
        self,
        writer_of: Callable[[int], Writer[Written]],
        worker_index: int,
        guard: Callable[[Callable[[Written], None]], Callable[[Written], None]],
    ) -> None:
        self._writer_of = writer_of
        self._worker_index = worker_index
        self._write = guard(self._add)

    @override
    def write_batch(self, items: Sequence[Written]) -> None:
        for item in items:
            self._write(item)

    def _add(self, item: Written) -> None:
        # Asked for here: Bytewax may build a worker's sink before its source.
        self._writer_of(self._worker_index).add(item)
