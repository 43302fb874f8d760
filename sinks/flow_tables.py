"""The tables of a flow, as the commit loop knows them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas.metrics import Metrics
from semloop.delta.streams import Partition, Streams
from semloop.errors import SemLoopError
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.delta.delta_log import OpenLog
from sinks.delta.fenced_table import FencedTable
from sinks.delta.table_log import TableLog

Item = TypeVar("Item")
R = TypeVar("R")


class Waiting(NamedTuple):
    """What waits for the next commit.

    Attributes:
        rows: rows of all tables.
        bytes: their size in memory.
        moved: whether there is anything to commit, an offset without rows included.
    """

    rows: int
    bytes: int
    moved: bool


@dataclass(frozen=True)
class FlowContext:
    """What every part of a running flow needs.

    Attributes:
        settings: bounds and intervals.
        storage: the lake.
        metrics: where counts go.
        clock: wall clock, seconds.
        open_log: opens the log of a table.
    """

    settings: Settings
    storage: Storage
    metrics: Metrics
    clock: Callable[[], float] = time.time
    open_log: OpenLog = TableLog

    def fenced_table(
        self,
        name: str,
        streams: Streams,
        owned: Sequence[Partition],
        on_retry: Callable[[str, str], None],
    ) -> FencedTable:
        """A table of the lake, for a writer of these partitions."""
        log, retry_s = (
            self.open_log(self.storage, name),
            self.settings.commits.storage_retry_s,
        )
        return FencedTable(log, streams, owned, retry_s, on_retry)

    def now(self) -> datetime:
        """The time by the clock, in UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)


class FlowTables(ABC, Generic[Item]):
    """The writer of the tables of one flow, for the partitions of one worker.

    Subclasses say what an item brings, how it is committed, and, by the hooks, what is
    particular to the flow.
    """

    # Name of the flow, in metrics and app ids.
    flow: str
    # Commit this often without anything new, for the numbers that ride in a commit;
    # None: never.
    idle_commit_s: float | None = None

    def __init__(self, context: FlowContext) -> None:
        self._context = context
        self.settings = context.settings
        self._storage = context.storage
        self._metrics = context.metrics

    @property
    @abstractmethod
    def fenced(self) -> Sequence[FencedTable]:
        """The tables whose fences are checked and which are opened anew in time."""

    @property
    @abstractmethod
    def waiting(self) -> Waiting:
        """What waits for the next commit."""

    @abstractmethod
    def keep(self, item: Item) -> bool:
        """Keep an item until the next commit; returns whether it is the last one."""

    @abstractmethod
    def commit(self) -> None:
        """Commit everything that waits, main table last."""

    def may_commit(self) -> bool:
        """Whether a commit may be made now; False: ask again later.

        Raises:
            TopicChanged: never again.
        """
        return True

    def is_level(self) -> bool:
        """Whether the flow has read all that its source had, for an early commit."""
        return False

    def explain(self, error: SemLoopError) -> SemLoopError:
        """The error to raise where a commit or a check ended with this one."""
        return error

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

    def _report_freshness(self, events: pa.Table) -> None:
        """How long the oldest of the committed events waited, by Kafka's timestamp."""
        oldest = pc.min(events["kafka_ts"]).cast(pa.int64()).as_py()
        if oldest is not None:
            seconds = max(0.0, self._context.clock() - oldest / 1e6)
            self._metrics.set("semloop_freshness_seconds", seconds, flow=self.flow)
