"""Produces the records of an import: in order, and each is archived once.

The broker drops duplicates of a producer's retries. `archive` drops records of a
repeated import, which it recognizes by their idempotency header.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.lines import Record, TooLong
from semloop.errors import BrokerError
from semloop.event import IDEMPOTENCY_HEADER
from semloop.kafka.clients import DELIVERY_TIMEOUT_S
from semloop.kafka.refusals import ConnectionErrors, unusable

PROGRESS_RECORDS = 1_000
# Ranges of offsets that are kept of a partition. Beyond it the last one grows, and
# contains records of other producers, too.
RANGES_MAX = 10_000
# Added to the configuration that all our producers share.
PRODUCER_CONFIG: Mapping[str, str | int | float | bool] = {
    "queue.buffering.max.kbytes": 64 * 1024,  # Enough for 15 of the largest records.
}


@dataclass(frozen=True, slots=True)
class Sent:
    """Totals of an import, and the lines that are too long for a message.

    `offsets`: of the records, as (partition, first offset, last offset).
    """

    records: int
    size: int
    too_long: tuple[TooLong, ...]
    offsets: tuple[tuple[int, int, int], ...] = ()


def produce(
    records: Iterable[Record | TooLong],
    producer_config: Mapping[str, str | int | float | bool],
    topic: str,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Sent:
    """Send all records, and wait until the broker has acknowledged them.

    Args:
        records: from `sources.transcripts.reader.Reading`.
        producer_config: from `semloop.kafka.clients.producer_config`.
        topic: must exist.
        on_progress: called periodically with the number of records delivered so far.

    Raises:
        BrokerError: records were not delivered. If the broker refuses the connection,
            it is raised immediately. An error of `records` is raised after the records
            before it were delivered.
    """
    delivery = Delivery(ConnectionErrors(producer_config))
    config = {
        **producer_config,
        **PRODUCER_CONFIG,
        "error_cb": delivery.connection_errors,
    }
    try:
        producer = Producer(config)
    except KafkaException as error:
        raise unusable(error.args[0], producer_config) from None
    interrupted: Exception | None = None
    try:
        for taken, record in enumerate(records, start=1):
            delivery.send(producer, topic, record)
            if taken % PROGRESS_RECORDS == 0:
                on_progress(delivery.records)
            if delivery.failed or delivery.connection_errors.refused:
                break
        waiting = _flush(delivery, producer, on_progress)
    except (KafkaException, SystemError) as exc:
        delivery.abort(exc)
        waiting = len(producer)
    except Exception as exc:
        interrupted = exc
        waiting = _flush(delivery, producer, on_progress)
    delivery.check(topic, waiting)
    if interrupted:
        raise interrupted
    on_progress(delivery.records)
    too_long = tuple(TooLong(*line) for line in sorted(delivery.too_long.items()))
    offsets = tuple((p, *pair) for p, all_ in delivery.ranges.items() for pair in all_)
    return Sent(delivery.records, delivery.size, too_long, offsets)


def _flush(
    delivery: "Delivery", producer: Producer, on_progress: Callable[[int], None]
) -> int:
    """Wait for sent records; returns how many were not acknowledged in time."""
    deadline = time.monotonic() + DELIVERY_TIMEOUT_S + 10
    while (waiting := producer.flush(0.5)) and time.monotonic() < deadline:
        if delivery.connection_errors.refused:
            break
        on_progress(delivery.records)
    return waiting


@dataclass(slots=True)
class Delivery:
    """Results that librdkafka has reported for the records so far."""

    connection_errors: ConnectionErrors
    records: int = 0
    size: int = 0
    failed: int = 0
    reason: str = ""
    too_long: dict[int, int] = field(default_factory=dict)
    ranges: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def send(self, producer: Producer, topic: str, record: Record | TooLong) -> None:
        """Pass a record to the producer; blocks while its queue is full."""
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
                    headers=[
                        (IDEMPOTENCY_HEADER, record.idempotency_key.encode()),
                        *record.headers,
                    ],
                    on_delivery=partial(self.on_delivery, record.line, size),
                )
            except BufferError:
                producer.poll(0.1)
                if self.connection_errors.refused:
                    self.failed += 1
                    break
            except KafkaException as exc:
                self.count_failure(record.line, size, exc.args[0])
                break
            else:
                producer.poll(0)
                break

    def on_delivery(
        self, line: int, size: int, error: KafkaError | None, message: Message
    ) -> None:
        """Count a record that was delivered, or that failed finally."""
        if error is None:
            self.records += 1
            self.size += size
            self.note_offset(message.partition(), message.offset())
        else:
            self.count_failure(line, size, error)

    def note_offset(self, partition: int | None, offset: int | None) -> None:
        """Note where a record is; those between are of other producers."""
        if partition is None or offset is None:
            return
        ranges = self.ranges.setdefault(partition, [])
        if ranges and (ranges[-1][1] + 1 == offset or len(ranges) >= RANGES_MAX):
            ranges[-1] = ranges[-1][0], offset
        else:
            ranges.append((offset, offset))

    def count_failure(self, line: int, size: int, error: KafkaError) -> None:
        """Count a record that failed: as too long, or with the error's text."""
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self.too_long[line] = max(size, self.too_long.get(line, 0))
            return
        self.failed += 1
        self.reason = self.reason or error.str()

    def abort(self, error: KafkaException | SystemError) -> None:
        """Count an error after which librdkafka does not send any more records.

        The client sets it but still calls back with deliveries; Python turns that into
        a SystemError.
        """
        cause = error.__cause__ if isinstance(error, SystemError) else error
        if not isinstance(cause, KafkaException):
            raise error
        self.connection_errors(cause.args[0])
        self.failed, self.reason = self.failed + 1, self.reason or cause.args[0].str()

    def check(self, topic: str, waiting: int) -> None:
        """Raise if records were not delivered."""
        failed = self.failed + waiting
        if not failed:
            return
        todo = "Run the command again; it creates no duplicates."
        if refused := self.connection_errors.refusal():
            msg = f"Kafka accepted {self.records} records for {topic!r}. {refused.what}"
            raise BrokerError(msg, f"{refused.todo} {todo}")
        # The connection's error explains more than a time-out.
        texts = (self.reason, self.connection_errors.last_message)
        reason = "; ".join(dict.fromkeys(text for text in texts if text))
        msg = (
            f"Kafka did not accept {failed} of {failed + self.records} records"
            f" for the topic {topic!r}: {reason or 'no answer in time'}."
        )
        raise BrokerError(msg, todo)
