"""The table of the flow `metrics`: `agent_metrics`, exactly once.

The sums of a commit and the offsets of the events that are in them are one commit, so
each event is in the sums once.
"""

from collections.abc import Mapping

import pyarrow as pa
import structlog
from typing_extensions import override

from schemas.arrow import AGENT_METRICS, EVENTS, METRIC_SUMS
from schemas.summed import Summed
from semloop.delta.streams import Partition
from semloop.flow_registry import METRICS
from sinks.delta.commit_columns import with_commit_columns
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.takeover import Takeover
from sinks.fleet_report import report_fleet
from sinks.flow_tables import Waiting
from sinks.lake_reader_tables import LakeReaderTables
from sinks.publishing.minutes import MinutePublisher
from sinks.read_buffer import ReadBuffer

FLOW = METRICS.name
MAIN = METRICS.main
KAFKA_TS = EVENTS.field("kafka_ts").type

log = structlog.get_logger(FLOW)


class MetricsTables(LakeReaderTables[Summed]):
    """The writer of `agent_metrics` for the partitions of one worker.

    Unit of parallelism: a worker. Guarantee: every event is in the sums exactly once,
    across crashes, second copies and lost replies.
    """

    flow, main = FLOW, MAIN
    _publisher: MinutePublisher | None = None
    _buffer: "_Buffer | None" = None

    @property
    @override
    def waiting(self) -> Waiting:
        buffer = self._waiting
        return Waiting(buffer.rows, buffer.bytes, buffer.has_changes)

    @override
    def add_to_buffer(self, item: Summed) -> bool:
        buffer = self._waiting
        buffer.add(item, self._main.offsets)
        self._note_level(item.progress, buffer)
        return item.progress.last

    @override
    def commit(self) -> None:
        buffer, self._buffer = self._waiting, None
        rows = with_commit_columns(buffer.sums(), AGENT_METRICS, self._context.now())
        numbers = self._numbers(buffer)
        self._timed(MAIN, lambda: self._main.commit(rows, buffer.positions, numbers))
        if self._publisher is not None:
            self._publisher.committed(rows)
        self._metrics.add("semloop_summed_events_total", buffer.events, flow=FLOW)
        self._report_positions(buffer.ends)
        self._report_delays(buffer.kafka_ts())
        report_fleet(self._metrics, rows, self._context.clock())
        log.info(
            "committed",
            events=buffer.events,
            rows=rows.num_rows,
            offsets={f"{p.number}": o for p, o in self._main.offsets.items()},
        )

    @override
    def _take_over_once(self) -> FencedTable:
        create(self._storage, MAIN)
        main = self._registered()
        Takeover(main).run()
        return main

    @override
    def _new_publisher(self) -> MinutePublisher:
        return MinutePublisher(self._context, FLOW, self._main)

    @property
    def _waiting(self) -> "_Buffer":
        if self._buffer is None:
            self._buffer = _Buffer()
        return self._buffer


class _Buffer(ReadBuffer):
    """Sums and positions of the polls that wait for one commit."""

    def __init__(self) -> None:
        super().__init__()
        self.events = 0
        self._kafka_ts: list[pa.Array] = []
        self._sums: list[pa.Table] = []

    def add(self, item: Summed, committed: Mapping[Partition, int]) -> None:
        self.advance(item.progress, committed)
        if not item.sums.num_rows:
            return
        self._sums.append(item.sums)
        self.events += item.events
        self.rows += item.sums.num_rows
        self.bytes += item.sums.nbytes
        self._kafka_ts += item.kafka_ts.chunks if item.kafka_ts is not None else []
        self.bytes += 8 * item.events

    def sums(self) -> pa.Table:
        return pa.concat_tables([METRIC_SUMS.empty_table(), *self._sums])

    def kafka_ts(self) -> pa.ChunkedArray:
        return pa.chunked_array(self._kafka_ts, KAFKA_TS)
