"""Kafka -> one Arrow batch per poll, starting at the offsets stored in the tables.

`assign`, not `subscribe`: workers own partitions by number, so no worker waits for a
dead member's session to time out. Only a PARTITION_EOF marks the end of a partition,
never arithmetic: transactions, compaction and retention leave gaps.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    TopicPartition,
)

from schemas.batches import Polled, Progress
from schemas.committed import CommittedOffsets
from schemas.kafka_time import oldest_kafka_ms
from semloop.broker.broker import CLUSTER_ID
from semloop.delta.streams import Partition
from semloop.errors import BrokerError, OffsetsGone
from semloop.kafka.clients import address
from semloop.kafka.refusals import ConnectionErrors
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from sources.kafka.bounded_poll import BoundedPoll
from sources.kafka.broker_watch import wait_for_broker
from sources.kafka.consumer import (
    available_offsets,
    consumer_config,
    raise_if_permanent,
)
from sources.kafka.idle_ends import IdleEnds
from sources.kafka.records import records

# A poll returns when it is full or after this time: a short one while the reader
# catches up, so that a start is quick. A poll of a few records costs more than the
# records, so later ones take longer, if that is a small part of the time to a commit.
POLL_S, LATER_POLL_S, POLLS_A_COMMIT = 0.05, 0.25, 4
OLDER_LAKE = (
    "The broker of `semloop up` deletes what was committed to the lake, immediately if "
    "half of broker_mb is used: this lake is older, as after a restored back-up."
)


class KafkaReader:
    """Reads the partitions of one worker; independent of Bytewax.

    Unit of parallelism: a worker, which reads the partitions p % workers = its index.
    Guarantee after a crash: none of its own; reading starts after the offsets that
    the tables contain.
    """

    # A poll blocks until records arrive, so no pause is needed between polls.
    pause_s = 0.0

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        offsets: Mapping[Partition, int],
        committed: CommittedOffsets,
        *,
        accept_gap: bool = False,
        same_topic: Callable[[], None] = lambda: None,
    ) -> None:
        """Start reading after `offsets`: partition -> last offset read, -1 for none.

        Args:
            settings: broker, topic and bounds.
            topic: the topic to read.
            offsets: one entry per partition of this reader.
            committed: to the tables; reported to lag monitors.
            accept_gap: skip to the oldest record where retention removed the next.
            same_topic: raises TopicChanged, or BrokerUnavailable without an answer.

        Raises:
            BrokerUnavailable: the oldest offsets cannot be queried.
        """
        self._settings = settings
        self._topic = topic
        self._same_topic = same_topic
        self._gone: OffsetsGone | None = None
        self._committed = committed
        self._has_answer = False
        self._deadline_s = time.monotonic() + settings.archive.start_timeout_s
        self._at_end: set[int] = set()
        self._next: dict[int, int] = {}  # partition -> offset of the next record
        config = consumer_config(settings, committed.group)
        self._errors = ConnectionErrors(config)
        self._consumer = Consumer(config | {"error_cb": self._errors})
        self._messages = BoundedPoll(self._consumer, settings.archive.poll_records)
        self._idle_ends = IdleEnds(self._consumer, settings)
        self._offsets = {p.number: offset for p, offset in offsets.items()}
        if accept_gap:
            self._offsets = {
                p: max(offset, self._available(p)[0] - 1)
                for p, offset in self._offsets.items()
            }
        self._assign()

    @property
    def caught_up(self) -> bool:
        """True if every partition has been read to an end since the start."""
        return len(self._at_end) == len(self._offsets)

    def poll(self) -> Polled:
        """Return at most `poll_records` records and 2 MiB, or none after a short time.

        Raises:
            OffsetsGone: retention removed the next records; those read before are
                returned with `last` and must be committed first.
            TopicChanged: the topic was recreated.
            BrokerError: no response since the start, or a permanent error.
        """
        self._commit_group()
        if self._gone:
            return self._finish(self._gone)
        if not self._messages.holds_messages:
            # A seek returns to `_next`, so kept messages would be read twice.
            self._idle_ends.request_again(self._topic.name, self._next)
        messages = self._messages.take(_poll_s(self._settings, self.caught_up))
        self._errors.raise_refusal()
        caught_up_ms: dict[int, int] = {}
        ends: dict[int, int] = {}
        gone: int | None = None
        data = []
        for message in messages:
            error = message.error()
            if error is None:
                data.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                partition, end = message.partition(), message.offset()
                if partition is None or end is None:  # never; the type allows it
                    continue
                # This skips control records at the end, which are never returned.
                ends[partition] = end
                # The end is only known for the time when the queue was last empty: the
                # process may have been suspended since.
                caught_up_ms[partition] = self._messages.emptied_ms
                self._idle_ends.reported(partition)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                gone = message.partition()
            else:
                self._raise_if_permanent(error)
        if data or ends or gone is not None:
            self._has_answer = True
        elif not self._has_answer and self._offsets:
            self._raise_if_silent()
        batch, positions = records(data, self._topic)
        positions = _moved(positions, ends)
        self._at_end |= ends.keys()
        self._next |= {p: position + 1 for p, position in positions.items()}
        if gone is not None:
            self._gone = self._gap(gone)
        moved = (positions, self._ends(positions), caught_up_ms)
        read, last_ends, times = (_keyed(self._topic, values) for values in moved)
        is_last, ms = self._gone is not None, oldest_kafka_ms(batch["kafka_ts"])
        progress = Progress(read, last_ends, times, last=is_last, oldest_ms=ms)
        return Polled(batch, progress, cluster_id=self._topic.cluster_id)

    def _commit_group(self) -> None:
        """Commit the tables' offsets to the broker, for lag monitors only."""
        name, new = self._topic.name, self._committed.take_new()
        positions = [
            TopicPartition(name, p.number, offset + 1)
            for p, offset in new.items() if offset >= 0
        ]  # fmt: skip
        if positions:
            self._consumer.commit(offsets=positions, asynchronous=True)

    def close(self) -> None:
        """Report the last commit to the broker and disconnect."""
        self._commit_group()
        self._consumer.close()

    def _assign(self) -> None:
        """Resume after the polled records; records fetched since are fetched again."""
        name, begin = self._topic.name, OFFSET_BEGINNING
        starts = {p: begin if o < 0 else o + 1 for p, o in self._offsets.items()}
        places = (starts | self._next).items()
        self._messages.drop()
        self._consumer.assign([TopicPartition(name, p, o) for p, o in places])

    def _ends(self, moved: Mapping[int, int]) -> dict[int, int]:
        """Return the last known ends, as reported with the latest fetches."""
        found = {}
        for partition in moved:
            place = TopicPartition(self._topic.name, partition)
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            if high >= 0:
                found[partition] = max(high, moved[partition] + 1)
        return found

    def _raise_if_silent(self) -> None:
        if time.monotonic() < self._deadline_s:
            return
        waited = self._settings.archive.start_timeout_s
        msg = f"{address(self._settings)} did not answer within {waited:g} s."
        todo = "Check that the broker is running and SEMLOOP_KAFKA is correct."
        raise BrokerError(msg, todo)

    def _raise_if_permanent(self, error: Any) -> None:
        self._errors(error)
        self._errors.raise_refusal()
        raise_if_permanent(error)

    def _gap(self, partition: int) -> OffsetsGone | None:
        """Return why the broker rejects a position; None if reading can resume."""
        # A recreated topic has other offsets; then this raises TopicChanged.
        wait_for_broker(self._same_topic, self._settings.archive.start_timeout_s)
        expected = self._next.get(partition, self._offsets[partition] + 1)
        low, high = self._available(partition)
        where = f"Partition {partition} of {self._topic.name!r}"
        if low <= expected <= high:
            # A leader that was just elected, or killed, may accept the offset now.
            self._assign()
            return None
        if low > expected:
            gone = low - expected
            msg = f"{where}: retention removed {gone} offsets, starting at {expected}."
            todo = _after_a_gap(self._topic)
        else:
            msg = f"{where} ends at {high}, but {expected - 1} was read before."
            todo = "The broker lost records; recreate the topic to start over."
        return OffsetsGone(msg, todo)

    def _finish(self, gone: OffsetsGone) -> Polled:
        """Poll empty until all read records are committed, then raise `gone`."""
        read = {p: offset - 1 for p, offset in self._next.items()}
        if self._committed.include(_keyed(self._topic, read)):
            raise gone
        return Polled(records((), self._topic)[0], Progress())

    def _available(self, partition: int) -> tuple[int, int]:
        """Query the oldest offset and the end of a partition.

        Raises:
            BrokerUnavailable: no answer within `start_timeout_s`.
        """
        place = TopicPartition(self._topic.name, partition)
        return wait_for_broker(
            lambda: available_offsets(self._consumer, place, self._settings),
            self._settings.archive.start_timeout_s,
        )


def _moved(positions: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, int]:
    """Return the positions after a poll that reported ends.

    Records that were produced meanwhile may follow an end in the same poll.
    """
    at_ends = {p: max(positions.get(p, -1), end - 1) for p, end in ends.items()}
    return {**positions, **at_ends}


def _keyed(topic: Topic, values: Mapping[int, int]) -> dict[Partition, int]:
    return {Partition(topic.topic_id, p): value for p, value in values.items()}


def owned_partitions(
    partitions: int, worker_index: int, worker_count: int
) -> list[int]:
    """Return the partitions that a worker reads, possibly an empty list."""
    return [p for p in range(partitions) if p % worker_count == worker_index]


def _after_a_gap(topic: Topic) -> str:
    """Return what to do where records were deleted before they were read."""
    todo = "To resume after the gap, start once with --accept-gap."
    return f"{OLDER_LAKE} {todo}" if topic.cluster_id == CLUSTER_ID else todo


def _poll_s(settings: Settings, caught_up: bool) -> float:
    share_s = settings.commits.interval_s / POLLS_A_COMMIT if caught_up else 0.0
    return min(max(POLL_S, share_s), LATER_POLL_S)
