"""Sends events to the broker in order, or to the spool while it does not answer.

A separate thread connects to the broker, since connecting may block. An event stays in
`_sent` until the broker acknowledges it. Once the oldest has waited `SPOOL_AFTER_S`,
the sender discards the producer and moves the unacknowledged events to the spool, in
order; later events follow them there. When the broker answers again, the sender first
sends the spool from its start and only then new events, so an outage does not change
the order of a session. The broker may already have an event that is sent again: a
header makes the archive look up its id in the whole table.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from semloop.agent.broker_search import (
    RETRY_S,
    SPOOL_AFTER_S,
    BrokerSearch,
    error_name,
)
from semloop.agent.resend import TOO_LARGE, event_ids, resend
from semloop.agent.spools import Spools
from semloop.settings import DEFAULT_LAKE, Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger("semloop")
POLL_S = 0.005
Acknowledged = Callable[[int, str | None], None]
"""Called with the number of finished events, and why they were dropped, or None."""


class Sender:
    """One producer, its unacknowledged events, and the spool; for one thread."""

    def __init__(self, settings: Settings, acknowledged: Acknowledged) -> None:
        """Find the files of dead processes; open nothing yet."""
        self._settings = settings
        self._acknowledged = acknowledged
        self._spools = Spools(settings)
        self._producer: Producer | None = None
        self._sent: dict[int, tuple[bytes, float]] = {}
        self._next_number = 0
        self._unavailable = False
        self._address = settings.kafka
        self._next_attempt_s = 0.0
        self._search: BrokerSearch | None = None

    @property
    def pause_s(self) -> float | None:
        """Longest pause before the next `work`; None: until there are more events."""
        first_search = self._search and not self._unavailable
        if self._sent or first_search or (self._spools and self._producer):
            return POLL_S
        return RETRY_S if self._spools or self._search else None

    @property
    def ready(self) -> bool:
        """True once the sender can decide between broker and spool."""
        return bool(self._producer or self._spools.own or self._unavailable)

    def send(self, events: Sequence[bytes]) -> None:
        """Send events to the broker, or spool them while it is unavailable."""
        for index, event in enumerate(events):
            if self._spools.own is not None or not self._produce(event):
                self._spool(events[index:])
                return

    def work(self) -> None:
        """Handle acknowledgements and timeouts, reconnect, resend spooled events."""
        if producer := self._open():
            producer.poll(0)
        oldest = next(iter(self._sent.values()), None)
        if oldest and time.monotonic() - oldest[1] > SPOOL_AFTER_S:
            self._disconnect("it does not acknowledge events")
        if self._producer and self._spools:
            self._catch_up(self._producer)

    def close(self) -> None:
        """Spool the unacknowledged events, and close producer and files."""
        self._disconnect("the process is exiting", warn=False)
        self._spools.close()

    def release_files(self) -> None:
        """Close the files in a forked child: they and their locks are the parent's."""
        self._spools.release()

    def _open(self) -> "Producer | None":
        """Return the producer if connected; otherwise start or check an attempt."""
        if self._producer is not None:
            return self._producer
        search = self._search
        if search is None:
            if time.monotonic() >= self._next_attempt_s:
                self._search = BrokerSearch(self._settings)
            return None
        self._address = search.address
        if search.finished:
            self._search = None
            self._next_attempt_s = time.monotonic() + RETRY_S
            self._producer = search.producer
        if search.failure is not None:
            self._log_unavailable(search.failure)
        return self._producer

    def _produce(self, event: bytes) -> bool:
        """Pass an event to the producer; False if the broker is unavailable."""
        producer = self._open()
        if producer is None:
            return False
        deadline_s = time.monotonic() + SPOOL_AFTER_S
        key, number = event_ids(event).meta.session_id, self._next_number
        callback = partial(self._delivered, self._sent, number)
        while True:
            try:
                producer.produce(self._settings.topic, event, key, on_delivery=callback)
                break
            except BufferError:
                producer.poll(POLL_S)
            except Exception as error:
                if error_name(error) == TOO_LARGE:
                    self._acknowledged(1, _too_large(event))
                    return True
                # For example, the topic was deleted.
                self._disconnect(error_name(error))
                return False
            if time.monotonic() > deadline_s:
                self._disconnect("its queue is full")
                return False
        self._sent[number] = (event, time.monotonic())
        self._next_number += 1
        return True

    def _delivered(
        self,
        sent: dict[int, tuple[bytes, float]],
        number: int,
        error: "KafkaError | None",
        _: "Message",
    ) -> None:
        if sent is not self._sent:
            return  # From a discarded producer: its events are already in the spool.
        if error is None:
            del sent[number]
            self._acknowledged(1, None)
        elif error.name() == TOO_LARGE:
            event, _sent_s = sent.pop(number)
            self._acknowledged(1, _too_large(event))
        else:
            event, _sent_s = sent[number]
            # Mark the event as overdue, so that the next `work` disconnects.
            sent[number] = (event, -SPOOL_AFTER_S)

    def _disconnect(self, reason: str, *, warn: bool = True) -> None:
        """Discard the producer; spool unacknowledged events, before all later ones."""
        if warn:
            self._log_unavailable(reason)
        events = [event for event, _ in self._sent.values()]
        self._sent = {}
        if self._producer is not None:
            self._producer.purge()
            self._producer = None
        self._next_attempt_s = time.monotonic() + RETRY_S
        if events:
            self._spool(events)

    def _spool(self, events: Sequence[bytes]) -> None:
        stored, drop_reason = 0, "the spool is full"
        try:
            stored = self._spools.append(events)
        except OSError as error:
            drop_reason = f"cannot write to the spool in {self._spools.folder}"
            drop_reason += f": {error.strerror}"
        if stored < len(events):
            self._acknowledged(len(events) - stored, drop_reason)

    def _catch_up(self, producer: "Producer") -> None:
        """Send the next batch of the oldest spool."""
        spool = self._spools.oldest()
        if spool is None:
            return
        batch = spool.head()
        if batch and not self._resend(producer, batch):
            return
        spool.acknowledge(batch)
        is_own = spool is self._spools.own
        if is_own:
            self._acknowledged(len(batch), None)
        if spool.empty:
            self._spools.remove(spool)
            if is_own:
                self._log_available()

    def _resend(self, producer: "Producer", events: Sequence[bytes]) -> bool:
        """Send spooled events; True once the broker has acknowledged all of them."""
        failure = resend(producer, self._settings.topic, events)
        if failure:
            self._disconnect(failure)
        return not failure

    def _log_unavailable(self, reason: str) -> None:
        if self._unavailable:
            return
        self._unavailable = True
        if self._address is None:
            log.warning(
                "SEMLOOP_KAFKA is not set, and no stack of `semloop up` runs for %s"
                " or a folder above it. Until one does, events are stored in %s.",
                self._settings.lake.removesuffix(f"/{DEFAULT_LAKE}"),
                self._spools.folder,
            )
            return
        log.warning(
            "Kafka at %s is unavailable: %s. Events are stored in %s.",
            self._address, reason.rstrip("."), self._spools.folder,
        )  # fmt: skip

    def _log_available(self) -> None:
        if self._unavailable:
            self._unavailable = False
            log.warning("Kafka at %s accepts events again.", self._address)


def _too_large(event: bytes) -> str:
    return f"the topic does not accept messages of {len(event):,} bytes"
