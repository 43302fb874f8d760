"""Connects an agent to its broker in a thread, which also creates the topic."""

import importlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from semloop.agent.local_stack import local_stack, nearest_lake
from semloop.errors import SemLoopError
from semloop.kafka.clients import listens, producer_config
from semloop.local.stack_file import LocalStack
from semloop.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Producer

# Events go to the spool after this long without an answer of the broker.
SPOOL_AFTER_S = 2.0
RETRY_S = 0.5
CONFIG: dict[str, Any] = {
    # Short batching: a crash loses what the broker has not acknowledged.
    "linger.ms": 5,
    "error_cb": lambda error: None,
}

# Importing libraries and creating clients takes internal locks. In a child forked
# meanwhile these would stay locked indefinitely, so a fork waits for this lock.
_loading = threading.Lock()
os.register_at_fork(
    before=_loading.acquire,
    after_in_parent=_loading.release,
    # Not `release`: C code may fork without running the `before` hook.
    after_in_child=_loading._at_fork_reinit,  # type: ignore[attr-defined]
)


class BrokerSearch:
    """One attempt to connect to the broker; runs in a thread since it may block."""

    def __init__(self, settings: Settings) -> None:
        """Start the thread, if there is an address to connect to."""
        self._stack: LocalStack | None = None
        self.address = settings.kafka
        """Where the broker is, None without a setting and without a local stack."""
        self._error: str | None = None
        self.producer: Producer | None = None
        """The producer, if the attempt succeeded."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        if self.address is None:
            # Resolved for each attempt, since the local stack may start meanwhile.
            self._stack = local_stack(nearest_lake(settings))
            self.address = self._stack.kafka if self._stack else None
        self._settings = settings.replace(kafka=self.address)
        self._started_s = time.monotonic()
        if self.address is None:
            self._error = "no stack"
        else:
            self._thread.start()

    @property
    def finished(self) -> bool:
        """True after success or failure."""
        return not self._thread.is_alive()

    @property
    def failure(self) -> str | None:
        """Why the broker counts as unavailable, or None if it does not."""
        late = time.monotonic() - self._started_s > SPOOL_AFTER_S
        return self._error or (
            "it does not answer" if late and not self.finished else None
        )

    def _run(self) -> None:
        try:
            self.producer = self._connect()
        except SemLoopError as error:
            self._error = error.what
        except Exception as error:
            self._error = error_name(error)

    def _connect(self) -> "Producer | None":
        with _loading:
            # A host lookup would import this outside the lock.
            importlib.import_module("encodings.idna")
            from confluent_kafka import Producer

            from semloop.kafka.topic import TopicAdmin

        # Looking up a host takes a lock of the C library, and the threads of a client
        # do so as soon as it exists. Hence the lock until each client has connected.
        with _loading:
            if not listens(str(self._settings.kafka), RETRY_S):
                self._error = "no server listens on this address"
                return None
            if self._stack is not None and not self._is_of(self._stack):
                self._error = "the server there is not the broker of the local stack"
                return None
            TopicAdmin(self._settings).ensure()
            producer = Producer(producer_config(self._settings) | CONFIG)
            producer.list_topics(self._settings.topic, RETRY_S)
        return producer

    def _is_of(self, stack: LocalStack) -> bool:
        """Return True if the broker has the topic that the stack has created.

        After a crash of the stack another server may listen on its port.
        """
        from semloop.kafka.topic import TopicAdmin

        found = TopicAdmin(self._settings.replace(topic=stack.topic)).describe()
        return stack.topic_id is not None and found.topic_id == stack.topic_id


def error_name(error: Exception) -> str:
    """Return Kafka's error code, else the exception type; texts may quote events."""
    name = getattr(error.args[0], "name", None) if error.args else None
    return str(name()) if callable(name) else type(error).__name__
