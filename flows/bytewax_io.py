"""Adapters from readers and writers to Bytewax sources and sinks.

Both are partition-local: each worker writes only the partitions that it reads.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override

from flows.guard import exit_on_error
from schemas.source_item import SourceItem

Item = TypeVar("Item", bound=SourceItem)
Item_co = TypeVar("Item_co", bound=SourceItem, covariant=True)
Written = TypeVar("Written")
Written_contra = TypeVar("Written_contra", contravariant=True)
# Bytewax gets control back this often while a reader pauses.
SLICE_S = 0.2
PollGuard = Callable[[Callable[[], Item]], Callable[[], Item]]


class Reader(Protocol[Item_co]):
    """Reads a source for one worker."""

    @property
    def caught_up(self) -> bool:
        """True once everything that existed at the start has been returned."""

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next poll."""

    def poll(self) -> Item_co:
        """Return the next item; without new rows, an empty item (a tick).

        Raises:
            StopIteration: the input has ended.
        """

    def close(self) -> None:
        """Release resources; commit nothing, because this also runs after a crash."""


class Writer(Protocol[Written_contra]):
    """Writes the items of one worker."""

    def add(self, item: Written_contra, /) -> None:
        """Write an item, or buffer it for the next commit."""


class ReaderSource(DynamicSource[Item]):
    """Bytewax source: one item per poll, a tick if the poll found nothing.

    Unit of parallelism: a worker. It stores no position itself: after a crash reading
    starts at the position that `open_reader` reads from the tables.
    """

    def __init__(
        self,
        open_reader: Callable[[int, int], Reader[Item]],
        *,
        until_caught_up: bool = False,
        guard: PollGuard[Item] = exit_on_error,
    ) -> None:
        """Store the arguments; the reader is opened when the flow runs.

        Args:
            open_reader: (worker index, worker count) -> reader; takes over the tables.
            until_caught_up: end once everything that existed at the start is returned.
            guard: wraps `poll` and decides what an error does.
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
        return _ReaderPartition(reader, poll, until_caught_up=self._until_caught_up)


class _ReaderPartition(StatelessSourcePartition[Item]):
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
        self._due_s = 0.0
        self._done = False

    @override
    def next_batch(self) -> Sequence[Item]:
        if self._done:
            raise StopIteration
        if not self._is_due():
            return []
        item = self._poll()
        if self._until_caught_up and self._reader.caught_up:
            self._done = True
            return [replace(item, progress=replace(item.progress, last=True))]
        self._due_s = time.monotonic() + self._reader.pause_s
        return [item]

    def _is_due(self) -> bool:
        """Wait for the end of a pause; return False if it lasts longer than a slice.

        NOTE: `next_awake` is a time of the wall clock: a flow would read nothing for as
        long as that was set back.
        """
        left_s = self._due_s - time.monotonic()
        if left_s > 0:
            time.sleep(min(left_s, SLICE_S))
        return left_s <= SLICE_S

    @override
    def close(self) -> None:
        self._reader.close()


class WriterSink(DynamicSink[Written], Generic[Written]):
    """Bytewax sink around the writer of each worker.

    Unit of parallelism: a worker. Delivery guarantee: that of the writer.
    """

    def __init__(
        self,
        writer_of: Callable[[int], Writer[Written]],
        guard: Callable[[Callable[[Written], None]], Callable[[Written], None]] = (
            exit_on_error
        ),
    ) -> None:
        """Store the arguments; the writer is looked up when the flow runs.

        Args:
            writer_of: worker index -> the writer that the worker's source opened.
            guard: wraps `add` and decides what an error does.
        """
        self._writer_of = writer_of
        self._guard = guard

    @override
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> "StatelessSinkPartition[Written]":
        return _WriterPartition(self._writer_of, worker_index, self._guard)


class _WriterPartition(StatelessSinkPartition[Written]):
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
        # Looked up on each item: Bytewax may build a worker's sink before its source.
        self._writer_of(self._worker_index).add(item)
