"""The flow `archive`: Kafka -> redact -> move -> decode -> dedupe -> tables.

START READING HERE. Each step is a plain function on one poll of records;
`schemas/batches.py` defines the items passed between steps. Steps are partition-local:
each worker writes only the partitions that it reads.
"""

from dataclasses import replace
from datetime import UTC, datetime

import bytewax.operators as op
import pyarrow.compute as pc
from bytewax.dataflow import Dataflow

from flows.archive_workers import ArchiveWorkers
from flows.bytewax_io import ReaderSource, WriterSink
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from operators.artifacts.move import move_large_values
from operators.decoding.decode import decode
from operators.dedupe import dedupe
from operators.redaction.redact import redact
from schemas.batches import Decoded, Polled
from schemas.metrics import Metrics
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.archive_tables import FLOW
from sinks.flow_tables import FlowContext


def flow() -> Dataflow:
    """Return the flow that the environment configures, for Bytewax's own runner."""
    return prepare_flow(build)


def build(
    settings: Settings,
    metrics: Metrics,
    *,
    guard: Guard = EXIT_ON_ERROR,
    until_caught_up: bool = False,
    new_log: bool = False,
    accept_gap: bool = False,
    accept_dead_letters: bool = False,
) -> Dataflow:
    """Build the flow; it opens nothing before it runs.

    Args:
        settings: source, target and limits.
        metrics: receives the counts.
        guard: decides what an error of a step does.
        until_caught_up: stop once all records that existed at the start are committed.
        new_log: accept a topic that the lake already has from another cluster or flow.
        accept_gap: continue where retention removed records that were not read.
        accept_dead_letters: store any share of records as dead letters.
    """
    storage = Storage.of(settings)
    context = FlowContext(settings, storage, metrics)
    workers = ArchiveWorkers(
        context,
        new_log=new_log,
        accept_gap=accept_gap,
        accept_dead_letters=accept_dead_letters,
    )
    row_bytes_max = settings.archive.event_bytes_max
    bytes_max = settings.archive.record_bytes_max

    @guard.step
    def redact_poll(polled: Polled) -> Polled:
        # Pseudonyms may be longer than what they replace; the limit is the producer's.
        sizes = pc.binary_length(polled.records["value"])
        records = redact(polled.records, workers.redactor, bytes_max)
        return replace(polled, records=records, sizes=sizes)

    @guard.step
    def move_poll(polled: Polled) -> Polled:
        return move_large_values(polled, row_bytes_max, bytes_max)

    @guard.step
    def decode_poll(polled: Polled) -> Decoded:
        return decode(polled, datetime.now(UTC), bytes_max)

    @guard.step
    def dedupe_poll(decoded: Decoded) -> Decoded:
        fresh = dedupe(
            decoded, workers.windows, workers.now_ms(), workers.already_dead_lettered
        )
        if decoded.events.num_rows:
            workers.report_windows()
        return fresh

    dataflow = Dataflow(FLOW)
    source = ReaderSource(
        guard.step(workers.open_reader),
        until_caught_up=until_caught_up,
        guard=guard.poll,
    )
    polls = op.input("kafka", dataflow, source)
    # Polled(records=2,000 raw Kafka records, progress={0: 1999})
    redacted = op.map("redact", polls, redact_poll)
    # Polled, with pseudonyms (<email:3f9a0c51d2e7>) in values, keys and headers
    moved = op.map("move", redacted, move_poll)
    # Polled, with placeholders for the largest values of records over 1 MiB
    decoded = op.map("decode", moved, decode_poll)
    # Decoded(events=1,998 rows, dead_letters=2 rows, progress={0: 1999})
    fresh = op.map("dedupe", decoded, dedupe_poll)
    # Decoded, without events whose id is in the dedupe window
    op.output("tables", fresh, WriterSink(workers.writer_of, guard.step))
    return dataflow
