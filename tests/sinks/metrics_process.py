"""The flow `metrics` in the test's process, run step by step, to crash between steps."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from operators.metrics.sums import sum_events
from schemas.batches import PolledEvents, Progress
from schemas.metrics import Metrics
from semloop.delta.streams import StreamId, Streams
from semloop.flow_registry import METRICS
from semloop.lake.lake import Lake
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext
from sinks.metrics_tables import MetricsTables
from tests.support.builders import P0, P1

STREAM = StreamId(METRICS.name, "cluster-1", "agent-events", "topic-1")
OWNED = (P0, P1)


def lake_settings(folder: Path) -> Settings:
    """Settings that commit every poll, without fence checks in between."""
    return load(
        {}, lake=str(folder), commit_rows=1, commit_interval_s=0.001,
        fence_check_s=1_000, storage_retry_s=5,
    )  # fmt: skip


class Crash(Exception):
    """The simulated process died."""


class MetricsProcess:
    """A simulated process of the flow, which reads a table of events.

    Args:
        settings: the lake.
        events: all rows that `archive` has committed.
        now: the time of its commits.
    """

    def __init__(
        self, settings: Settings, events: pa.Table, now: datetime | None = None
    ) -> None:
        self.metrics = Metrics()
        at = now or datetime.now(UTC)
        context = FlowContext(
            settings, Storage.of(settings), self.metrics, at.timestamp
        )
        self.tables = MetricsTables(context, Streams.of(STREAM), OWNED)
        self.loop = CommitLoop(settings, self.tables)
        self.positions = self.tables.take_over()
        self._events = events

    def read(self, partition: int, count: int, *, last: bool = False) -> None:
        """Process the next events of a partition, as many as there are."""
        origin = OWNED[partition]
        own = pc.field("kafka_partition") == partition
        beyond = pc.field("kafka_offset") > self.positions[origin]
        rows = self._events.filter(own & beyond).slice(0, count)
        positions = {}
        if rows.num_rows:
            self.positions[origin] = rows["kafka_offset"][-1].as_py()
            positions[origin] = self.positions[origin]
        progress = Progress(positions, last=last)
        self.loop.add(sum_events(PolledEvents(rows, progress)))

    def finish(self) -> None:
        """Process all that is left, and commit it."""
        for partition in (0, 1):
            self.read(partition, self._events.num_rows)
        self.read(0, 0, last=True)

    def crash_at_commit(self, *, after: bool) -> None:
        """Crash in the next commit, before or after it is stored."""
        commit: Callable[..., Any] = self.tables._main.commit

        def crashing(*args: Any) -> None:
            if after:
                commit(*args)
            raise Crash

        self.tables._main.commit = crashing  # type: ignore[method-assign, assignment]


def stored_sums(settings: Settings) -> pa.Table:
    """Return the rows of `agent_metrics`, as DuckDB's own reader of logs sees them."""
    with Lake(settings=settings) as lake:
        return lake.sql("FROM tables.agent_metrics").to_arrow_table()
