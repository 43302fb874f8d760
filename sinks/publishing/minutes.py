"""Produces what agents did in each minute, a few seconds after the commits.

Several workers may commit events of the same agent and minute, and each produces the
sum of all. If one reads the sum before another commits, and produces it after the
other, its message is the newer one of the topic and has the older sum. So each reads a
sum again after the broker has it, and produces it again if it has changed: the last
message about a minute has the last sum.
"""

import time
from collections.abc import Iterator
from datetime import timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from schemas.arrow import METRIC_SUMS
from semloop.published import PUBLISHED, AgentMinute
from sinks.delta.fenced_table import FencedTable
from sinks.flow_tables import FlowContext
from sinks.publishing.minute_values import KEYS, MinuteValues
from sinks.publishing.publisher import Publisher

TOPIC = PUBLISHED["metrics"]
# Older minutes change only by imports and by events that waited in a spool.
AGE_MAX = timedelta(hours=24)
# Keys of a round; the others wait for the next one.
KEYS_MAX = 50_000
CHANGED = "FROM now EXCEPT FROM before"
MISSED = "SELECT DISTINCT minute, namespace, agent FROM rows WHERE minute >= ? AND {0}"
ROWS_OF_PYTHON = 1_000
_NO_KEYS = METRIC_SUMS.empty_table().select(KEYS)


class MinutePublisher(Publisher):
    """Produces the rows of `metrics_by_agent` that the commits of a worker change."""

    def __init__(self, context: FlowContext, flow: str, main: FencedTable) -> None:
        """Continue at the position in the table; as `Publisher`."""
        super().__init__(context, flow, main)
        self._values = MinuteValues(context.storage)
        self._due_s = 0.0
        self._reset()

    def committed(self, sums: pa.Table) -> None:
        """Note what a commit has added to."""
        if self._outbox.is_open and sums.num_rows:
            self._touched.append(sums.select(KEYS))

    @override
    def _poll(self) -> None:
        if not self._outbox.is_open:
            self._reset()
            if not self._outbox.open():
                return
            self._add_missed()
        self._outbox.poll()
        now_s = time.monotonic()
        if self._outbox.is_open and self._outbox.is_idle and now_s >= self._due_s:
            self._due_s = now_s + self._context.settings.publish.metrics_every_s
            self._round()

    @override
    def _finish(self, seconds: float) -> None:
        while self._outbox.is_open and self._is_waiting:
            self._outbox.flush(seconds)
            self._due_s = 0.0
            self._poll()
        self._outbox.flush(seconds)

    @property
    def _is_waiting(self) -> bool:
        return bool(self._touched or self._produced.num_rows)

    def _reset(self) -> None:
        self._touched: list[pa.Table] = []
        # Rows of the last round, which are read once more.
        self._produced = _NO_KEYS
        self._confirmed = self._outbox.position

    def _add_missed(self) -> None:
        since = self._context.now() - AGE_MAX
        found = self._missed(MISSED.format, [since])
        if found is not None:
            self._touched.append(found.cast(_NO_KEYS.schema))

    def _round(self) -> None:
        if not self._is_waiting:
            return
        version, keys = self._version, self._keys()
        rows = self._values.read(keys) if keys.num_rows else _NO_KEYS
        changed = _changed(rows, self._produced)
        self._outbox.send(TOPIC, _messages(changed))
        # What was produced in this round counts once it was read again.
        if not self._touched:
            is_final = not changed.num_rows
            self._outbox.sent(version if is_final else self._confirmed)
            self._confirmed = version
        self._produced = changed
        self._outbox.poll()

    def _keys(self) -> pa.Table:
        """Take the keys of this round: of the last one, and as many new ones as fit."""
        touched = pa.concat_tables([_NO_KEYS, *self._touched])
        distinct = touched.group_by(list(KEYS), use_threads=False).aggregate([])
        recent = pc.greater_equal(distinct["minute"], self._context.now() - AGE_MAX)
        new = distinct.filter(recent)
        labels = {"flow": "metrics", "topic": TOPIC.name}
        left_out = distinct.num_rows - new.num_rows
        self._context.metrics.add("semloop_not_published_total", left_out, **labels)
        self._touched = [new.slice(KEYS_MAX)] if new.num_rows > KEYS_MAX else []
        again = self._produced.select(KEYS).cast(_NO_KEYS.schema)
        both = pa.concat_tables([new.slice(0, KEYS_MAX), again])
        return both.group_by(list(KEYS), use_threads=False).aggregate([])


def _changed(now: pa.Table, before: pa.Table) -> pa.Table:
    """Return the rows that differ from those of the round before."""
    if not (now.num_rows and before.num_rows):
        return now
    with duckdb.connect() as connection:
        connection.register("now", now)
        connection.register("before", before)
        return connection.execute(CHANGED).to_arrow_table()


def _messages(rows: pa.Table) -> Iterator[AgentMinute]:
    for batch in rows.to_batches(ROWS_OF_PYTHON):
        for row in batch.to_pylist():
            yield AgentMinute(**row)
