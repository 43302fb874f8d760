"""The flow `archive`: Kafka -> redact -> decode -> dedupe -> dead_letters, events.

START READING HERE. Each step is a plain function on one poll of records; what flows is
in `schemas/batches.py`. Steps are partition-local: what a worker reads it also writes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override

from flows.archive_workers import Workers
from flows.guard import ends_process
from operators.decoding.decode import decode
from operators.dedupe import dedupe
from operators.redaction.redact import redact
from operators.redaction.redactor import Redactor
from schemas.batches import Decoded, Polled
from schemas.metrics import Metrics
from semloop.settings import Settings, load
from semloop.storage.location import Storage, redaction_key
from sinks.archive_tables import FLOW, ArchiveTables
from sources.kafka.source import KafkaSource


def flow() -> Dataflow:
    """The flow as the environment configures it; what Bytewax's own runner calls."""
    return build(load(), Metrics())


def build(
    settings: Settings,
    metrics: Metrics,
    *,
    until_caught_up: bool = False,
    new_log: bool = False,
    accept_gap: bool = False,
) -> Dataflow:
    """The flow; nothing is opened before it runs.

    Args:
        settings: where from, where to, bounds.
        metrics: where counts go.
        until_caught_up: stop once all that was there at the start is committed.
        new_log: accept a topic that the lake holds from another cluster or flow.
        accept_gap: go on where retention removed records that were not read.
    """
    storage = Storage.of(settings)
    redactor = Redactor(
        redaction_key(settings, storage), settings.redact_keys, settings.redact_patterns
    )
    workers = Workers(
        settings, storage, metrics, new_log=new_log, accept_gap=accept_gap
    )
    bytes_max = settings.event_bytes_max

    @ends_process
    def redact_poll(polled: Polled) -> Polled:
        return replace(polled, records=redact(polled.records, redactor, bytes_max))

    @ends_process
    def decode_poll(polled: Polled) -> Decoded:
        return decode(polled, datetime.now(UTC), bytes_max)

    @ends_process
    def dedupe_poll(decoded: Decoded) -> Decoded:
        return dedupe(decoded, workers.windows, workers.settled)

    dataflow = Dataflow(FLOW)
    source = KafkaSource(
        workers.open_reader, until_caught_up=until_caught_up, guard=ends_process
    )
    polls = op.input("kafka", dataflow, source)
    # Polled(records=2,000 raw Kafka records, progress={0: 1999})
    redacted = op.map("redact", polls, redact_poll)
    # Polled, with pseudonyms such as <email:3f9a0c51d2e7> in values, keys and headers
    decoded = op.map("decode", redacted, decode_poll)
    # Decoded(events=1,998 rows, dead_letters=2 rows, progress={0: 1999})
    fresh = op.map("dedupe", decoded, dedupe_poll)
    # Decoded, without the events whose id is in the window
    op.output("tables", fresh, ArchiveSink(workers.tables_of))
    return dataflow


class ArchiveSink(DynamicSink[Decoded]):
    """Bytewax sink around `ArchiveTables`.

    Unit of parallelism: a worker. Guarantee: exactly once, see `ArchiveTables`.
    """

    def __init__(self, tables_of: Callable[[int], ArchiveTables]) -> None:
        """`tables_of(worker_index)` gives the tables that the worker took over."""
        self._tables_of = tables_of

    @override
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> "StatelessSinkPartition[Decoded]":
        return _Partition(self._tables_of, worker_index)


class _Partition(StatelessSinkPartition[Decoded]):
    def __init__(
        self, tables_of: Callable[[int], ArchiveTables], worker_index: int
    ) -> None:
        self._tables_of = tables_of
        self._worker_index = worker_index

    @override
    @ends_process
    def write_batch(self, items: Sequence[Decoded]) -> None:
        tables = self._tables_of(self._worker_index)
        for decoded in items:
            tables.add(decoded)
