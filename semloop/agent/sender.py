"""Sends events from the spool to the broker, in order.

A separate thread connects to the broker, since connecting may block. An event stays in
the spool until the broker acknowledges it. After a failure the sender discards the
producer, and takes all unacknowledged events again from the spool, so an outage does
not change the order of a session. The broker may already have an event that is sent
again: a header makes the archive look up its id in the whole table.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from semloop.agent.broker_search import RETRY_S, error_name
from semloop.agent.connection import Connection
from semloop.agent.record_ids import repeat_id
from semloop.agent.spool.chain import Chain
from semloop.agent.spool.names import spool_folder, spool_names
from semloop.agent.spool.orphans import SEARCH_S, Orphan, Orphans
from semloop.agent.spool.reader import Dropped, Reader, Record
from semloop.event import IDEMPOTENCY_HEADER
from semloop.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

POLL_S = 0.005
# Where the memory of a segment is not its file, pause between writes to the file.
SYNC_S = 0.02
# Events per batch: few, so that a caller never waits long for the interpreter's lock.
BATCH_EVENTS = 100
# Unacknowledged events, at most.
IN_FLIGHT_EVENTS = 10_000
IN_FLIGHT_BYTES = 8 * 2**20
TOO_LARGE = "MSG_SIZE_TOO_LARGE"
TOO_LARGE_TEXT = "the topic does not accept messages of their size"


class Sender:
    """One producer, and what is left to send; for one thread."""

    def __init__(
        self,
        settings: Settings,
        chain: Chain,
        dropped: Dropped,
        names: Sequence[str] | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            settings: where to send.
            chain: the events of this process.
            dropped: receives events that cannot be sent.
            names: whose events to send of processes that have ended; those for the
                same broker and topic if not given.
        """
        self._topic = settings.topic
        self._dropped = dropped
        self._chain = chain
        self._own = Reader(chain, dropped, live=True)
        names = spool_names(settings) if names is None else names
        self._orphans = Orphans(spool_folder(settings), names, dropped)
        self._orphan: Orphan | None = None
        self._connection = Connection(settings)
        self._in_flight = self._in_flight_bytes = self._acknowledged = 0
        self._closing = False

    @property
    def position(self) -> int:
        """All events before this position of the chain are sent or dropped."""
        return self._own.position

    @property
    def finished(self) -> int:
        """Number of events of this process that were sent or dropped."""
        return self._own.finished

    @property
    def delivered(self) -> int:
        """Number of events of this process that the broker has."""
        return self._acknowledged + self._own.elsewhere

    @property
    def available(self) -> bool | None:
        """True if the broker accepts events; None until that is known."""
        return self._connection.available

    @property
    def may_succeed(self) -> bool:
        """True unless the broker is unavailable, as far as is known."""
        return self._connection.available is not False

    @property
    def wants_events(self) -> bool:
        """True if a new event can be sent immediately."""
        return self._connection.producer is not None and not self._own.is_stalled

    @property
    def done(self) -> bool:
        """True if nothing is left to send, as far as is known."""
        return not (self._in_flight or self._has_others) and self._own.is_empty

    @property
    def _has_others(self) -> bool:
        """True while events of ended processes, that were found, are not all sent."""
        return self._orphan is not None or self._orphans.found

    def work(self) -> float:
        """Connect, send, handle acknowledgements.

        Returns:
            seconds until the next call, if there is no event before.
        """
        if self._connection.is_cut:
            self.restart("this program has closed the connection")
        if self._orphan is not None and not self._orphan.is_held:
            self._orphan.release()  # left to the process that has the lock now
            self._orphan = None
        producer = self._connection.open()
        last = self._chain.last
        if producer is None:
            if self._connection.is_searching:
                return POLL_S
            return SYNC_S if last.buffered else RETRY_S
        sent_all = self._send_from(self._own, producer)
        sent_all &= self._send_orphans(producer)
        # Without unacknowledged events the wait for new ones is `_sleep`'s.
        producer.poll(POLL_S if sent_all and self._in_flight else 0)
        if failure := self._connection.failure(waits=bool(self._in_flight)):
            self.restart(failure)
            return RETRY_S
        if not sent_all or self._in_flight or self._has_others:
            return 0
        if self._own.is_stalled:
            return POLL_S
        return SYNC_S if last.buffered else SEARCH_S

    def restart(self, reason: str) -> None:
        """Discard the producer, and send again what the broker has not acknowledged."""
        self._connection.discard(reason)
        self._own.rewind()
        if self._orphan is not None:
            self._orphan.reader.rewind()
        self._in_flight = self._in_flight_bytes = 0

    def begin_close(self) -> None:
        """Look for events of other processes once more."""
        if not self._closing:
            self._closing = True
            self._orphans.search()

    def close(self) -> None:
        """Close the connection and the files of other processes."""
        self._connection.close()
        if self._orphan is not None:
            self._orphan.release()

    def _send_from(self, reader: Reader, producer: "Producer") -> bool:
        """Send a batch; return True if no more can be sent now."""
        for _ in range(BATCH_EVENTS):
            if self._in_flight >= IN_FLIGHT_EVENTS:
                return True
            if self._in_flight_bytes >= IN_FLIGHT_BYTES:
                return True
            record = reader.take()
            if record is None or not self._sent(record, reader, producer):
                return True
        return False

    def _send_orphans(self, producer: "Producer") -> bool:
        """Send a batch of what others left; return True if no more can be sent now."""
        orphan = self._orphan = self._orphan or self._orphans.next()
        if orphan is None:
            return True
        sent_all = self._send_from(orphan.reader, producer)
        if sent_all and orphan.reader.is_empty:
            orphan.close()
            self._orphan = None
            return False
        return sent_all

    def _sent(self, record: Record, reader: Reader, producer: "Producer") -> bool:
        """Hand a record to the producer; False if it accepts none now."""
        key, event = record.content
        options: dict[str, Any] = {}
        callback = partial(self._delivered, producer, reader, record)
        try:
            if record.handed_before:
                options["headers"] = {IDEMPOTENCY_HEADER: repeat_id(key, event)}
            producer.produce(self._topic, event, key, on_delivery=callback, **options)
        except BufferError:
            reader.unread(record)
            return False
        except Exception as error:
            if error_name(error) == TOO_LARGE:
                self._drop(reader, record, TOO_LARGE_TEXT)
                return True
            if not hasattr(error.args[0] if error.args else None, "code"):
                # Not Kafka's: this record can never be sent.
                self._drop(reader, record, type(error).__name__)
                return True
            reader.unread(record)
            self._connection.failed(error_name(error))
            return False
        if not self._in_flight:
            self._connection.waiting()
        self._in_flight += 1
        self._in_flight_bytes += len(event)
        return True

    def _delivered(
        self,
        producer: "Producer",
        reader: Reader,
        record: Record,
        error: "KafkaError | None",
        _: "Message",
    ) -> None:
        if producer is not self._connection.producer:
            return  # Discarded: its events are sent again.
        size = len(record.content.event)
        if error is None:
            self._connection.answered()
            self._acknowledged += reader is self._own
            reader.finish(record)
        elif error.name() == TOO_LARGE:
            self._drop(reader, record, TOO_LARGE_TEXT)
        else:
            self._connection.failed(error.name())
            return
        self._in_flight -= 1
        self._in_flight_bytes -= size

    def _drop(self, reader: Reader, record: Record, reason: str) -> None:
        self._dropped(1, reason)
        reader.finish(record)
