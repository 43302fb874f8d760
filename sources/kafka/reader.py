"""Kafka -> one Arrow batch per poll, from where the tables say.

`assign`, not `subscribe`: partitions are dealt to workers by their number, so nothing
waits for a dead member's session to time out. The end of a partition is what a
PARTITION_EOF says, never arithmetic: transactions, compaction and retention leave gaps.
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
from semloop.delta.streams import Partition
from semloop.errors import BrokerError, OffsetsGone
from semloop.kafka.clients import address
from semloop.kafka.refusals import ConnectionErrors
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from sources.kafka.broker_watch import wait_for_broker
from sources.kafka.consumer import consumer_config, held_offsets, raise_if_lasting
from sources.kafka.idle_ends import IdleEnds
from sources.kafka.records import records

# A poll returns when it is full or after this: the cost of waking up, and the most that
# a lone record waits before it is decoded.
POLL_S = 0.05


class KafkaReader:
    """Reads the partitions of one worker; a plain consumer, without Bytewax.

    Unit of parallelism: a worker, which reads the partitions p % workers = its index.
    Guarantee after a crash: none of its own; reading starts behind the offsets that
    the tables hold.
    """

    # A poll blocks until something comes, so nothing waits between two of them.
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
        """Start reading behind `offsets`: partition -> last one read, -1 for none.

        Args:
            settings: broker, topic and bounds.
            topic: what is read.
            offsets: of the partitions of this reader.
            committed: what the tables have committed; passed on to lag monitors.
            accept_gap: go on at the oldest record where retention removed the next.
            same_topic: raises TopicChanged, or BrokerUnavailable without an answer.

        Raises:
            BrokerUnavailable: the oldest records cannot be asked for.
        """
        self._settings = settings
        self._topic = topic
        self._same_topic = same_topic
        self._gone: OffsetsGone | None = None
        self._committed = committed
        self._heard = False
        self._deadline_s = time.monotonic() + settings.archive.start_timeout_s
        self._at_end: set[int] = set()
        # Per partition: offset of the record to come.
        self._next: dict[int, int] = {}
        self._emptied_ms = time.time_ns() // 1_000_000
        config = consumer_config(settings, committed.group)
        self._errors = ConnectionErrors(config)
        self._consumer = Consumer(config | {"error_cb": self._errors})
        self._ends_asked = IdleEnds(self._consumer, settings)
        self._offsets = {p.number: offset for p, offset in offsets.items()}
        if accept_gap:
            self._offsets = {
                p: max(offset, self._held(p)[0] - 1)
                for p, offset in self._offsets.items()
            }
        self._assign()

    @property
    def caught_up(self) -> bool:
        """Whether every partition has been read to an end since the start."""
        return len(self._at_end) == len(self._offsets)

    def poll(self) -> Polled:
        """At most `poll_records` records, or none after `POLL_S`.

        Raises:
            OffsetsGone: retention removed what should come next; what was read before
                is handed on with `last` and must be committed first.
            TopicChanged: the topic was made again.
            BrokerError: nothing heard since the start, or an error that stays.
        """
        self._commit_group()
        if self._gone:
            return self._nothing_more(self._gone)
        self._ends_asked.ask_again(self._topic.name, self._next)
        messages = self._consumer.consume(self._settings.archive.poll_records, POLL_S)
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
                if partition is None or end is None:  # only its type says so
                    continue
                # Control records at the end are passed here, without being seen.
                ends[partition] = end
                # Reported after the queue was last empty, perhaps long before now: the
                # process may have been stopped in between.
                caught_up_ms[partition] = self._emptied_ms
                self._ends_asked.reported(partition)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                gone = message.partition()
            else:
                self._raise_if_lasting(error)
        if len(messages) < self._settings.archive.poll_records:
            self._emptied_ms = time.time_ns() // 1_000_000
        if data or ends or gone is not None:
            self._heard = True
        elif not self._heard and self._offsets:
            self._complain_if_silent()
        batch, positions = records(data, self._topic)
        positions |= {p: end - 1 for p, end in ends.items()}
        self._at_end |= ends.keys()
        self._next |= {p: position + 1 for p, position in positions.items()}
        if gone is not None:
            self._gone = self._gap(gone)
        moved = (positions, self._ends(positions), caught_up_ms)
        read, last_ends, times = (_keyed(self._topic, values) for values in moved)
        last = self._gone is not None
        return Polled(batch, Progress(read, last_ends, times, last=last))

    def _commit_group(self) -> None:
        """Tell the broker how far the tables are, for lag monitors only."""
        positions = [
            TopicPartition(self._topic.name, partition.number, offset + 1)
            for partition, offset in self._committed.take_new().items()
            if offset >= 0
        ]
        if positions:
            self._consumer.commit(offsets=positions, asynchronous=True)

    def close(self) -> None:
        """Leave the broker, after it was told of the last commit."""
        self._commit_group()
        self._consumer.close()

    def _assign(self) -> None:
        """Read behind what was polled; what was fetched since is fetched again."""
        name, begin = self._topic.name, OFFSET_BEGINNING
        starts = {p: begin if o < 0 else o + 1 for p, o in self._offsets.items()}
        places = (starts | self._next).items()
        self._consumer.assign([TopicPartition(name, p, o) for p, o in places])

    def _ends(self, moved: Mapping[int, int]) -> dict[int, int]:
        """Last known ends, from what the latest fetches brought along."""
        found = {}
        for partition in moved:
            place = TopicPartition(self._topic.name, partition)
            _, high = self._consumer.get_watermark_offsets(place, cached=True)
            if high >= 0:
                found[partition] = max(high, moved[partition] + 1)
        return found

    def _complain_if_silent(self) -> None:
        if time.monotonic() < self._deadline_s:
            return
        waited = self._settings.archive.start_timeout_s
        msg = f"Nothing heard from {address(self._settings)} within {waited:g} s."
        raise BrokerError(msg, "Check that the broker runs and SEMLOOP_KAFKA is right.")

    def _raise_if_lasting(self, error: Any) -> None:
        self._errors(error)
        self._errors.raise_refusal()
        raise_if_lasting(error)

    def _gap(self, partition: int) -> OffsetsGone | None:
        """What became of a position that the broker refuses; None: it is read on."""
        # A topic that was made again has other offsets: that is the reason then.
        wait_for_broker(self._same_topic, self._settings.archive.start_timeout_s)
        wanted = self._next.get(partition, self._offsets[partition] + 1)
        low, high = self._held(partition)
        where = f"Partition {partition} of {self._topic.name!r}"
        if low <= wanted <= high:
            # A leader that was just chosen, or killed, may know better by now.
            self._assign()
            return None
        if low > wanted:
            gone = low - wanted
            msg = f"{where}: {gone} offsets from {wanted} on are gone (retention)."
            todo = "To go on behind the gap start once with --accept-gap."
        else:
            msg = f"{where} ends at {high}, but {wanted - 1} was read before."
            todo = "The broker lost records; make the topic anew to start over."
        return OffsetsGone(msg, todo)

    def _nothing_more(self, gone: OffsetsGone) -> Polled:
        """Ticks until the tables hold all that was read: retention may take it too."""
        read = {p: following - 1 for p, following in self._next.items()}
        if self._committed.include(_keyed(self._topic, read)):
            raise gone
        return Polled(records((), self._topic)[0], Progress())

    def _held(self, partition: int) -> tuple[int, int]:
        """Oldest offset and end of a partition, as the broker says now.

        Raises:
            BrokerUnavailable: it says nothing within `start_timeout_s`.
        """
        place = TopicPartition(self._topic.name, partition)
        return wait_for_broker(
            lambda: held_offsets(self._consumer, place, self._settings),
            self._settings.archive.start_timeout_s,
        )


def _keyed(topic: Topic, values: Mapping[int, int]) -> dict[Partition, int]:
    return {Partition(topic.topic_id, p): value for p, value in values.items()}


def owned_partitions(
    partitions: int, worker_index: int, worker_count: int
) -> list[int]:
    """The partitions that a worker reads; none is fine."""
    return [p for p in range(partitions) if p % worker_count == worker_index]
