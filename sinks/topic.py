"""Records of an import into the topic: each once and in order, whatever is retried.

The broker drops what a retry sends twice; what a second import sends twice the archive
drops, since every record carries the header that marks it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.lines import Record, TooLong
from semloop.errors import BrokerError, SemLoopError
from semloop.event import IDEMPOTENCY_HEADER
from semloop.kafka.refusals import ConnectionErrors, unusable

# A broker that took a record back then is given up.
DELIVERY_TIMEOUT_S = 60.0
PROGRESS_RECORDS = 1_000
# Beside what every producer of ours has.
PRODUCER_CONFIG: Mapping[str, str | int | float | bool] = {
    "message.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
    "queue.buffering.max.kbytes": 64 * 1024,  # Enough for 15 of the largest records.
}


@dataclass(frozen=True, slots=True)
class Sent:
    """What an import delivered, and the lines that fit into no message."""

    records: int
    size: int
    too_long: tuple[TooLong, ...]


def produce(
    records: Iterable[Record | TooLong],
    producer_config: Mapping[str, str | int | float | bool],
    topic: str,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Sent:
    """Send all records, and wait until the broker has them.

    Args:
        records: from `sources.transcripts.lines.read_records`.
        producer_config: as `semloop.kafka.clients.producer_config` gives it.
        topic: must exist.
        on_progress: called now and then with the records delivered so far.

    Raises:
        BrokerError: some were not delivered; a broker that refuses us is given up at
            once. An error of `records` is raised after what came before it was
            delivered.
    """
    run = _Run(ConnectionErrors(producer_config))
    config = {**producer_config, **PRODUCER_CONFIG, "error_cb": run.connection_errors}
    try:
        producer = Producer(config)
    except KafkaException as error:
        raise unusable(error.args[0], producer_config) from None
    interrupted: SemLoopError | None = None
    try:
        for taken, record in enumerate(records, start=1):
            run.send(producer, topic, record)
            if taken % PROGRESS_RECORDS == 0:
                on_progress(run.records)
            if run.failed or run.connection_errors.refused:
                break
        waiting = _flushed(run, producer, on_progress)
    except SemLoopError as exc:
        interrupted = exc
        waiting = _flushed(run, producer, on_progress)
    except (KafkaException, SystemError) as exc:
        run.given_up(exc)
        waiting = len(producer)
    run.check(topic, waiting)
    if interrupted:
        raise interrupted
    on_progress(run.records)
    too_long = tuple(TooLong(*line) for line in sorted(run.too_long.items()))
    return Sent(run.records, run.size, too_long)


def _flushed(
    run: "_Run", producer: Producer, on_progress: Callable[[int], None]
) -> int:
    """Wait for what was sent; gives the records of which nothing is known."""
    deadline = time.monotonic() + DELIVERY_TIMEOUT_S + 10
    while (waiting := producer.flush(0.5)) and time.monotonic() < deadline:
        if run.connection_errors.refused:
            break
        on_progress(run.records)
    return waiting


@dataclass(slots=True)
class _Run:
    """What became of the records so far, as librdkafka reports it."""

    connection_errors: ConnectionErrors
    records: int = 0
    size: int = 0
    failed: int = 0
    why: str = ""
    too_long: dict[int, int] = field(default_factory=dict)

    def send(self, producer: Producer, topic: str, record: Record | TooLong) -> None:
        """Hand a record to the producer, waiting for room in its queue."""
        if isinstance(record, TooLong):
            self.too_long[record.line] = record.size
            return
        size = len(record.value)
        while True:
            try:
                producer.produce(
                    topic,
                    key=record.key,
                    value=record.value,
                    headers=[(IDEMPOTENCY_HEADER, record.idempotency_key.encode())],
                    on_delivery=partial(self.delivered, record.line, size),
                )
            except BufferError:
                producer.poll(0.1)
                if self.connection_errors.refused:
                    self.failed += 1
                    break
            except KafkaException as exc:
                self.refused(record.line, size, exc.args[0])
                break
            else:
                producer.poll(0)
                break

    def delivered(
        self, line: int, size: int, error: KafkaError | None, _: Message
    ) -> None:
        """The broker has a record, or never will."""
        if error is None:
            self.records += 1
            self.size += size
        else:
            self.refused(line, size, error)

    def refused(self, line: int, size: int, error: KafkaError) -> None:
        """A record was not taken: for its size, or because something is wrong."""
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self.too_long[line] = max(size, self.too_long.get(line, 0))
            return
        self.failed += 1
        self.why = self.why or error.str()

    def given_up(self, error: KafkaException | SystemError) -> None:
        """Note an error after which librdkafka sends nothing more.

        The client raises it while it goes on reporting deliveries, which Python then
        calls a SystemError.
        """
        cause = error.__cause__ if isinstance(error, SystemError) else error
        if not isinstance(cause, KafkaException):
            raise error
        self.connection_errors(cause.args[0])
        self.failed, self.why = self.failed + 1, self.why or cause.args[0].str()

    def check(self, topic: str, waiting: int) -> None:
        """Raise if records were not delivered."""
        failed = self.failed + waiting
        if not failed:
            return
        again = "Run the import again; nothing is doubled."
        if refused := self.connection_errors.refusal():
            msg = f"Kafka took {self.records} records for {topic!r}. {refused.what}"
            raise BrokerError(msg, f"{refused.todo} {again}")
        # What the connection says tells more than a time-out does.
        why = "; ".join(
            dict.fromkeys(
                w for w in (self.why, self.connection_errors.last_message) if w
            )
        )
        msg = (
            f"Kafka did not take {failed} of {failed + self.records} records"
            f" for the topic {topic!r}: {why or 'no answer in time'}."
        )
        raise BrokerError(msg, again)
