"""The flow `archive`: Kafka -> redact -> decode -> dedupe -> dead_letters, events.

START READING HERE. Each step is a plain function on one poll of records; what flows is
in `schemas/batches.py`. Steps are partition-local: what a worker reads it also writes.
"""

from dataclasses import replace
from datetime import UTC, datetime

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.archive_workers import ArchiveWorkers
from flows.bytewax_io import ReaderSource, WriterSink
from flows.guard import ends_process, started
from operators.decoding.decode import decode
from operators.dedupe import dedupe
from operators.redaction.redact import redact
from operators.redaction.redactor import Redactor
from schemas.batches import Decoded, Polled
from schemas.metrics import Metrics
from semloop.settings import Settings
from semloop.storage.location import Storage, redaction_key
from sinks.archive_tables import FLOW
from sinks.flow_tables import FlowContext


def flow() -> Dataflow:
    """The flow as the environment configures it; what Bytewax's own runner calls."""
    return started(build)


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
        redaction_key(settings, storage),
        settings.redaction.keys,
        settings.redaction.patterns,
    )
    context = FlowContext(settings, storage, metrics)
    workers = ArchiveWorkers(context, new_log=new_log, accept_gap=accept_gap)
    bytes_max = settings.archive.event_bytes_max

    @ends_process
    def redact_poll(polled: Polled) -> Polled:
        return replace(polled, records=redact(polled.records, redactor, bytes_max))

    @ends_process
    def decode_poll(polled: Polled) -> Decoded:
        return decode(polled, datetime.now(UTC), bytes_max)

    @ends_process
    def dedupe_poll(decoded: Decoded) -> Decoded:
        fresh = dedupe(decoded, workers.windows, workers.already_dead_lettered)
        if decoded.events.num_rows:
            workers.report_windows()
        return fresh

    dataflow = Dataflow(FLOW)
    source = ReaderSource(workers.open_reader, until_caught_up=until_caught_up)
    polls = op.input("kafka", dataflow, source)
    # Polled(records=2,000 raw Kafka records, progress={0: 1999})
    redacted = op.map("redact", polls, redact_poll)
    # Polled, with pseudonyms such as <email:3f9a0c51d2e7> in values, keys and headers
    decoded = op.map("decode", redacted, decode_poll)
    # Decoded(events=1,998 rows, dead_letters=2 rows, progress={0: 1999})
    fresh = op.map("dedupe", decoded, dedupe_poll)
    # Decoded, without the events whose id is in the window
    op.output("tables", fresh, WriterSink(workers.writer_of))
    return dataflow
