"""Finds the broker of an agent, makes its topic and a producer, in a thread."""

import importlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from semloop.errors import SemLoopError
from semloop.kafka.clients import address, listens, producer_config
from semloop.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Producer

# So long a broker may be silent before events go to the spool.
SPOOL_AFTER_S = 2.0
TRY_AGAIN_S = 0.5
CONFIG: dict[str, Any] = {
    # A crash loses what the broker did not acknowledge: waiting for company is short.
    "linger.ms": 5,
    # When an event is given up is decided here.
    "message.timeout.ms": 0,
    "error_cb": lambda error: None,
}

# Held while libraries are loaded and clients made, which takes locks of their own: in a
# process forked meanwhile these would stay locked for ever, so forking waits.
_loading = threading.Lock()
os.register_at_fork(
    before=_loading.acquire,
    after_in_parent=_loading.release,
    # Not `release`: programs in C may fork without what stands under `before`.
    after_in_child=_loading._at_fork_reinit,  # type: ignore[attr-defined]
)


class BrokerSearch:
    """Finds the broker and makes topic and producer, in a thread: it may wait long."""

    def __init__(self, settings: Settings) -> None:
        """Begin at once."""
        # One address for all of it: the local stack may start meanwhile.
        self._settings = settings.replace(kafka=address(settings))
        self._began_s = time.monotonic()
        self._error: str | None = None
        self.found: Producer | None = None
        """The producer, once it ended well."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether it found a broker, or gave up."""
        return not self._thread.is_alive()

    @property
    def why(self) -> str | None:
        """Why the broker counts as away by now; None: it does not."""
        late = time.monotonic() - self._began_s > SPOOL_AFTER_S
        return self._error or (
            "it does not answer" if late and not self.ended else None
        )

    def _run(self) -> None:
        try:
            self.found = self._producer()
        except SemLoopError as error:
            self._error = error.what
        except Exception as error:
            self._error = error_name(error)

    def _producer(self) -> "Producer | None":
        with _loading:
            # Looking a host up loads it.
            importlib.import_module("encodings.idna")
            from confluent_kafka import Producer

            from semloop.kafka.topic import TopicAdmin

        if not listens(str(self._settings.kafka), TRY_AGAIN_S):
            self._error = "nothing listens there"
            return None
        with _loading:
            admin = TopicAdmin(self._settings)
        admin.ensure()
        with _loading:
            return Producer(producer_config(self._settings) | CONFIG)


def error_name(error: Exception) -> str:
    """Kafka's name of an error, or its kind: texts may quote events."""
    name = getattr(error.args[0], "name", None) if error.args else None
    return str(name()) if callable(name) else type(error).__name__
