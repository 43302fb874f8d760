"""Events to the broker in order, or to the spool while it does not answer.

A thread of its own finds the broker, which may take as long as a broker is silent. An
event waits in `_sent` until the broker acknowledged it. Once the oldest has waited
`SPOOL_AFTER_S` the producer is given up: what was not acknowledged goes to the spool,
in order, and so does all that comes behind it. When the broker answers again the spool
is sent from its start, and only when it is empty events go directly again: so the order
of a session holds across an outage. What is sent a second time may have arrived before:
a header makes the archive look its id up in the whole table.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from semloop.agent.broker_search import (
    SPOOL_AFTER_S,
    TRY_AGAIN_S,
    BrokerSearch,
    error_name,
)
from semloop.agent.resend import TOO_LARGE, names_of, resend
from semloop.agent.spool import Spool
from semloop.kafka.clients import address
from semloop.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger("semloop")
POLL_S = 0.005
Settled = Callable[[int, str | None], None]
"""Told of events that are done: how many, and why they were dropped if they were."""


def spool_name(settings: Settings) -> str:
    """How the spools of a broker and topic are called."""
    where = settings.kafka
    if where is None:
        # The local stack's port may be another one tomorrow.
        where = hashlib.blake2b(settings.lake.encode(), digest_size=6).hexdigest()
    return f"{where}-{settings.topic}"


class Sender:
    """One producer, what it was not acknowledged, and the spool; for one thread."""

    def __init__(self, settings: Settings, settled: Settled) -> None:
        """Nothing is opened yet, but files that dead processes left are adopted."""
        self._settings = settings
        self._settled = settled
        self._folder = Path(os.path.expanduser(settings.agent.spool))  # never raises
        self._bytes_max = settings.agent.spool_mb * 2**20
        self._name = spool_name(settings)
        self._producer: Producer | None = None
        self._sent: dict[int, tuple[bytes, float]] = {}
        self._number = 0
        self._orphans = Spool.orphans(self._folder, self._name, self._bytes_max)
        self._own: Spool | None = None
        self._away = False
        self._next_try_s = 0.0
        self._search: BrokerSearch | None = None

    @property
    def pause_s(self) -> float | None:
        """How long `work` can wait; None: until there are more events."""
        kept = bool(self._orphans or self._own)
        first = self._search and not self._away
        if self._sent or first or (kept and self._producer):
            return POLL_S
        return TRY_AGAIN_S if kept or self._search else None

    @property
    def ready(self) -> bool:
        """Whether it is known where events go: to the broker, or to the spool."""
        return bool(self._producer or self._own or self._away)

    def send(self, events: Sequence[bytes]) -> None:
        """Take events over: to the broker, or to the spool while it is away."""
        for number, event in enumerate(events):
            if self._own is not None or not self._produce(event):
                self._keep(events[number:])
                return

    def work(self) -> None:
        """What is to be done now and then: answers, time-outs, another try."""
        if producer := self._open():
            producer.poll(0)
        oldest = next(iter(self._sent.values()), None)
        if oldest and time.monotonic() - oldest[1] > SPOOL_AFTER_S:
            self._give_up("it does not acknowledge")
        if self._producer and (self._orphans or self._own):
            self._catch_up(self._producer)

    def close(self) -> None:
        """Keep what the broker did not take, and let go of everything."""
        self._give_up("the process ends", say=False)
        for spool in (*self._orphans, *([self._own] if self._own else [])):
            spool.close()
        self._orphans, self._own = [], None

    def forget(self) -> None:
        """In a forked process: the files, and the locks on them, are the parent's."""
        for spool in (*self._orphans, *([self._own] if self._own else [])):
            spool.let_go()

    def _open(self) -> "Producer | None":
        """The producer, if the broker was found by now; looks for it otherwise."""
        if self._producer is not None:
            return self._producer
        search = self._search
        if search is None:
            if time.monotonic() >= self._next_try_s:
                self._search = BrokerSearch(self._settings)
            return None
        if search.ended:
            self._search = None
            self._next_try_s = time.monotonic() + TRY_AGAIN_S
            self._producer = search.found
        if search.why is not None:
            self._say_away(search.why)
        return self._producer

    def _produce(self, event: bytes) -> bool:
        """Hand an event over; False if the broker is away."""
        producer = self._open()
        if producer is None:
            return False
        deadline_s = time.monotonic() + SPOOL_AFTER_S
        key, number = names_of(event).meta.session_id, self._number
        answer = partial(self._delivered, self._sent, number)
        while True:
            try:
                producer.produce(self._settings.topic, event, key, on_delivery=answer)
                break
            except BufferError:
                producer.poll(POLL_S)
            except Exception as error:
                if error_name(error) == TOO_LARGE:
                    self._settled(1, _too_large(event))
                    return True
                self._give_up(error_name(error))  # The topic may be gone.
                return False
            if time.monotonic() > deadline_s:
                self._give_up("its queue is full")
                return False
        self._sent[number] = (event, time.monotonic())
        self._number += 1
        return True

    def _delivered(
        self,
        sent: dict[int, tuple[bytes, float]],
        number: int,
        error: "KafkaError | None",
        _: "Message",
    ) -> None:
        if sent is not self._sent:
            return  # Of a producer that was given up: its events are in the spool.
        if error is None:
            del sent[number]
            self._settled(1, None)
        elif error.name() == TOO_LARGE:
            event, _at = sent.pop(number)
            self._settled(1, _too_large(event))
        else:
            event, _at = sent[number]
            sent[number] = (event, -SPOOL_AFTER_S)  # Overdue: given up at once.

    def _give_up(self, why: str, *, say: bool = True) -> None:
        """Put what was not acknowledged into the spool, before all that follows."""
        if say:
            self._say_away(why)
        events = [event for event, _ in self._sent.values()]
        self._sent = {}
        if self._producer is not None:
            self._producer.purge()
            self._producer = None
        self._next_try_s = time.monotonic() + TRY_AGAIN_S
        if events:
            self._keep(events)

    def _keep(self, events: Sequence[bytes]) -> None:
        kept, why = 0, "the spool is full"
        try:
            if self._own is None:
                self._own = Spool.new(self._folder, self._name, self._bytes_max)
            kept = self._own.append(events)
        except OSError as error:
            why = f"the spool in {self._folder} cannot be written: {error.strerror}"
        if kept < len(events):
            self._settled(len(events) - kept, why)

    def _catch_up(self, producer: "Producer") -> None:
        """Send a part of the oldest spool; the next part at the next call."""
        spool = self._orphans[0] if self._orphans else self._own
        assert spool is not None
        part = spool.head()
        if part and not self._resend(producer, part):
            return
        spool.taken(part)
        if spool is self._own:
            self._settled(len(part), None)
        if spool.empty:
            spool.close()
            if spool is self._own:
                self._own = None
                self._say_back()
            else:
                del self._orphans[0]

    def _resend(self, producer: "Producer", events: Sequence[bytes]) -> bool:
        """Send events that may be there already; whether the broker has all of them."""
        why = resend(producer, self._settings.topic, events)
        if why:
            self._give_up(why)
        return not why

    def _say_away(self, why: str) -> None:
        if not self._away:
            self._away = True
            log.warning(
                "Kafka at %s: %s. Events are kept in %s.",
                address(self._settings), why.rstrip("."), self._folder,
            )  # fmt: skip

    def _say_back(self) -> None:
        if self._away:
            self._away = False
            log.warning("Kafka at %s takes events again.", address(self._settings))


def _too_large(event: bytes) -> str:
    return f"the topic takes no message of {len(event):,} bytes"
