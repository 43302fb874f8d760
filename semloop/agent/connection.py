"""The connection of a sender: a producer, or the search for the broker."""

import _thread
import time
from typing import TYPE_CHECKING

from semloop.agent.broker_search import RETRY_S, SPOOL_AFTER_S, BrokerSearch
from semloop.agent.sentinel import Sentinel
from semloop.agent.spool.names import spool_folder
from semloop.agent.warn import warn
from semloop.settings import DEFAULT_LAKE, Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

# A broker that is connected, but acknowledges nothing for this long, is given up.
GIVE_UP_S = 30.0
# Timeout for destroying a producer when the process ends.
DESTROY_S = 1.0


class Connection:
    """The producer, while the broker is available; for one thread.

    Attributes:
        producer: the producer, or None while there is no connection.
    """

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet."""
        self._settings = settings
        self._search: BrokerSearch | None = None
        self._next_search_s = 0.0
        self._address = settings.kafka
        self._is_down = False
        self._is_unavailable = self._is_refused = False
        self._answered_s = 0.0
        self._failure: str | None = None
        self._sentinel = Sentinel()
        self.producer: Producer | None = None

    @property
    def available(self) -> bool | None:
        """True if the broker accepts events; None until that is known."""
        if self._is_unavailable:
            return False
        return None if self.producer is None else True

    @property
    def is_searching(self) -> bool:
        """True while the first attempt to connect has not failed."""
        return self._search is not None and not self._is_unavailable

    @property
    def is_cut(self) -> bool:
        """True if the host has closed the descriptors of the producer."""
        return self.producer is not None and self._sentinel.is_lost

    def open(self) -> "Producer | None":
        """Return the producer if connected; otherwise start or check an attempt."""
        if self.producer is not None:
            return self.producer
        search = self._search
        if search is None:
            if time.monotonic() >= self._next_search_s:
                # Before: the client opens descriptors as soon as it exists.
                self._sentinel.set()
                self._search = BrokerSearch(self._settings, self._on_error)
            return None
        self._address = search.address
        if search.finished:
            self._search = None
            self._next_search_s = time.monotonic() + RETRY_S
            self.producer = search.producer
            self._is_down = False
            self.waiting()
        if search.failure is not None:
            self._log_unavailable(search.failure, refused=search.refused)
        return self.producer

    def waiting(self) -> None:
        """Note that from now on the broker has something to acknowledge."""
        self._answered_s = time.monotonic()

    def answered(self) -> None:
        """Note that the broker has acknowledged an event."""
        self._answered_s = time.monotonic()
        self._is_down = False
        if self._is_unavailable:
            self._is_unavailable = self._is_refused = False
            warn("Kafka at %s accepts events again.", self._address)

    def failed(self, reason: str) -> None:
        """Note why the producer cannot be used any more."""
        self._failure = reason

    def failure(self, *, waits: bool) -> str | None:
        """Return why the producer should be discarded.

        Args:
            waits: True if there are unacknowledged events.
        """
        if self._failure is not None or not waits:
            return self._failure
        silent_s = time.monotonic() - self._answered_s
        if silent_s < SPOOL_AFTER_S:
            return None
        reason = "it does not acknowledge events"
        self._log_unavailable(reason)
        return reason if self._is_down or silent_s > GIVE_UP_S else None

    def discard(self, reason: str) -> None:
        """Discard the producer after a failure; search again after a pause."""
        self._log_unavailable(reason)
        self._destroy()
        self._failure = None
        self._next_search_s = time.monotonic() + RETRY_S

    def close(self) -> None:
        """Discard the producer at the end of the process."""
        if self._search is not None:
            self._search.abandon()
        destroyed = self._destroy()
        self._sentinel.close()
        destroyed.acquire(timeout=DESTROY_S)

    def _destroy(self) -> _thread.LockType:
        """Destroy the producer in a thread; return a lock that is released at the end.

        That waits for the producer's threads, which may hang in a lookup of a host.
        """
        destroyed = _thread.allocate_lock()
        producer, self.producer = self.producer, None
        if producer is not None:
            destroyed.acquire()
            producer.purge()
            holder = [producer]
            del producer
            try:
                _thread.start_new_thread(_clear, (holder, destroyed))
            except RuntimeError:  # no more threads, or the interpreter exits
                _clear(holder, destroyed)
        return destroyed

    def _on_error(self, error: "KafkaError") -> None:
        if error.name() == "_ALL_BROKERS_DOWN":
            self._is_down = True

    def _log_unavailable(self, reason: str, *, refused: bool = False) -> None:
        """Log the first reason of an outage, and why a broker that answers refuses.

        A slow broker counts as silent until it has answered.
        """
        if self._is_unavailable and (self._is_refused or not refused):
            return
        self._is_unavailable, self._is_refused = True, refused
        folder = spool_folder(self._settings)
        stored = "in memory" if folder is None else f"in {folder}"
        if self._address is None:
            warn(
                "SEMLOOP_KAFKA is not set, and no stack of `semloop up` runs for %s"
                " or a folder above it. Until one does, events are stored %s.",
                self._settings.lake.removesuffix(f"/{DEFAULT_LAKE}"), stored,
            )  # fmt: skip
            return
        warn(
            "Kafka at %s is unavailable: %s. Events are stored %s.",
            self._address, reason.rstrip("."), stored,
        )  # fmt: skip


def _clear(holder: list["Producer"], cleared: _thread.LockType) -> None:
    # The callback of each event refers to the producer, so they are called first.
    holder[0].flush(DESTROY_S)
    holder.clear()
    cleared.release()
