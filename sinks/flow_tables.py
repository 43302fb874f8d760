"""The interface between the tables of a flow and the commit loop."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from schemas.batches import Progress
from schemas.metrics import Metrics
from schemas.waits import Waits
from semloop.boot_clock import BootTime, Moment, boot_time
from semloop.delta.query import WriterQueries
from semloop.delta.streams import Partition, Streams
from semloop.errors import SemLoopError
from semloop.progress.activity import AgentCounts
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.activity_file import ActivityFile
from sinks.delta.delta_log import OpenLog
from sinks.delta.fenced_table import FencedTable
from sinks.delta.table_log import TableLog
from sinks.lake_figures import LakeFigures, TableSize, delta_size


class HasProgress(Protocol):
    """An item that says how far its source has read."""

    @property
    def progress(self) -> Progress:
        """How far the source has read, and the oldest record of the item."""


Item = TypeVar("Item", bound=HasProgress)
R = TypeVar("R")


class Waiting(NamedTuple):
    """Size of the buffer that waits for the next commit.

    Attributes:
        rows: rows of all tables.
        bytes: their size in memory.
        has_changes: True if there are rows or offsets to commit.
    """

    rows: int
    bytes: int
    has_changes: bool


@dataclass(frozen=True)
class FlowContext:
    """Objects that every part of a running flow needs.

    Attributes:
        settings: bounds and intervals.
        storage: the lake.
        metrics: registry of the flow's metrics.
        clock: wall clock, seconds.
        boot_clock: the time since the boot, if the system tells it.
        open_log: opens the log of a table.
        open_queries: opens the lookups of a writer in its own tables.
    """

    settings: Settings
    storage: Storage
    metrics: Metrics
    clock: Callable[[], float] = time.time
    open_log: OpenLog = TableLog
    boot_clock: Callable[[], BootTime | None] = boot_time
    open_queries: Callable[[Storage], WriterQueries] = WriterQueries

    def fenced_table(
        self,
        name: str,
        streams: Streams,
        owned: Sequence[Partition],
        on_retry: Callable[[str, str], None],
    ) -> FencedTable:
        """Open a table of the lake for a writer of these partitions."""
        log, retry_s = (
            self.open_log(self.storage, name),
            self.settings.commits.storage_retry_s,
        )
        return FencedTable(log, streams, owned, retry_s, on_retry)

    def now(self) -> datetime:
        """Return the time of the clock, in UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def moment(self) -> Moment:
        """Return the time of both clocks."""
        return Moment(int(self.clock() * 1_000), self.boot_clock())


class FlowTables(ABC, Generic[Item]):
    """The writer of the tables of one flow, for the partitions of one worker.

    Subclasses define how an item is buffered and committed; they override the other
    methods where their flow needs it.
    """

    # Name of the flow, in metrics and app ids.
    flow: str
    # Interval of commits while the flow is idle, to update the numbers that a commit
    # carries; None: an idle flow does not commit.
    idle_commit_s: float | None = None

    def __init__(self, context: FlowContext) -> None:
        self._context = context
        self.settings = context.settings
        self._storage = context.storage
        self._metrics = context.metrics
        self._activity: ActivityFile | None = None
        self._worker = 0
        self._figures = LakeFigures(
            self.flow,
            context.settings,
            context.storage,
            context.metrics,
            context.moment,
        )
        self.waits = Waits(context.clock)

    def report_activity(self, worker: int, owned: Sequence[Partition]) -> None:
        """Start the activity file of a worker that has taken over these partitions."""
        self._activity = ActivityFile(
            self._storage, self.flow, worker, self.settings.topic
        )
        self._activity.start(owned, self._context.moment())
        self._worker = worker
        self._metrics.follow(
            "semloop_lag_seconds", self.waits.seconds, flow=self.flow, worker=worker
        )

    def report_stop(self, reason: SemLoopError) -> None:
        """Write why the flow stops itself, for `health`."""
        if self._activity is not None:
            self._activity.stop(reason, self._context.moment())

    def beat(self, *, last: bool) -> None:
        """Report that an item has passed all steps; `last` if none follows."""
        if self._activity is None:
            return
        self._activity.beat(self.caught_up_ms, self._context.moment(), ended=last)
        if last:
            self._metrics.signs.end(self._worker)
        else:
            self._metrics.signs.beat(self._worker)
        if self._worker == 0:  # All workers have the same tables.
            self._figures.measure_if_due(self.sizes)

    @property
    def caught_up_ms(self) -> int | None:
        """When the flow had last read all of its input, wall clock; None: no news.

        Only for flows that read the lake: what waits in Kafka, the broker tells.
        """
        return None

    @property
    @abstractmethod
    def fenced(self) -> Sequence[FencedTable]:
        """The tables whose fences are checked and which are reopened periodically."""

    @property
    @abstractmethod
    def waiting(self) -> Waiting:
        """Size of the buffer that waits for the next commit."""

    @abstractmethod
    def add_to_buffer(self, item: Item) -> bool:
        """Buffer an item until the next commit; returns True for the last item."""

    @abstractmethod
    def commit(self) -> None:
        """Commit the buffer, main table last."""

    def may_commit(self) -> bool:
        """True if the flow may commit now; if False, check again later.

        Raises:
            TopicChanged: the flow may never commit again.
        """
        return True

    def is_caught_up(self) -> bool:
        """True once the flow has read the backlog of its source."""
        return False

    def explain(self, error: SemLoopError) -> SemLoopError:
        """Return the error to raise in place of one from a commit or a check."""
        return error

    def _count(self, found: Mapping[str, AgentCounts]) -> None:
        """Add what became of the records of a commit, by agent."""
        if self._activity is not None:
            self._activity.count(found, self._context.moment())

    def _timed(self, table: str, commit: Callable[[], R]) -> R:
        started_s = time.monotonic()
        result = commit()
        seconds = time.monotonic() - started_s
        labels: dict[str, str | int] = {"flow": self.flow, "table": table}
        self._metrics.add("semloop_commits_total", 1, **labels)
        self._metrics.observe("semloop_commit_seconds", seconds, **labels)
        return result

    def _count_retry(self, table: str, cause: str) -> None:
        self._metrics.add(
            "semloop_commit_retries_total", flow=self.flow, table=table, cause=cause
        )

    def sizes(self) -> Iterator[TableSize]:
        """Yield the sizes of the tables that the flow has open."""
        for table in self.fenced:
            yield delta_size(table.name, table.handle)

    def _report_delays(self, kafka_ts: pa.ChunkedArray) -> None:
        """Report the ages of the events of a commit, by their Kafka timestamps."""
        if len(kafka_ts):
            times_s = kafka_ts.cast(pa.int64()).to_numpy() / 1e6
            ages_s = np.maximum(self._context.clock() - times_s, 0.0)
            labels: dict[str, str | int] = {"flow": self.flow}
            self._metrics.observe("semloop_queryable_seconds", ages_s, **labels)
            self._metrics.set("semloop_freshness_seconds", ages_s.max(), **labels)
