"""Connects an agent to its broker in a thread, which also creates the topic."""

import _thread
import importlib
import logging  # noqa: F401 - registers its hooks of forks before ours
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from semloop.agent.local_stack import local_stack, nearest_lake
from semloop.errors import SemLoopError, Transient
from semloop.kafka.clients import listens, producer_config
from semloop.local.stack_file import LocalStack
from semloop.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import KafkaError, Producer

# Events go to the spool after this long without an answer of the broker.
SPOOL_AFTER_S = 2.0
RETRY_S = 0.5
# Short batching, so that events are soon where they can be queried.
CONFIG: dict[str, Any] = {"linger.ms": 5}

# Importing libraries takes locks; in a child forked meanwhile they would stay locked
# indefinitely, so a fork waits until the libraries are imported, but not without end:
# an import runs code of the host, which may wait for what the forking thread holds.
_importing = threading.Lock()
# Looking up a host takes a lock of the C library, and the threads of a client do so as
# soon as it exists. So a fork also waits until each client has connected, but not long:
# a broker that accepts connections, but does not answer, has been looked up by then.
_connecting = threading.Lock()
FORK_WAITS_S = 0.5
FORK_WAITS_FOR_IMPORT_S = 10.0


class _Forking(threading.local):
    """Which of the locks the forking thread holds, and how many forks are nested."""

    importing = connecting = False
    depth = 0


class _Process:
    """The process that the locks are of.

    Attributes:
        pid: its id.
        connecting_since_s: when the last attempt began in it.
        may_import: False if it was forked while its parent imported libraries: an
            import would wait indefinitely for a lock of the parent's thread.
    """

    pid = os.getpid()
    connecting_since_s = 0.0
    may_import = True


class _Search(threading.local):
    """Whether this thread imports libraries; as a block, while it does."""

    imports = False

    def __enter__(self) -> None:
        self.imports = True

    def __exit__(self, *_: object) -> None:
        self.imports = False


_forking = _Forking()
_search = _Search()


def _before_fork() -> None:
    _forking.depth += 1
    if _forking.depth > 1:
        return  # a signal handler forks while this thread forks
    # Not if an import by this thread runs code that forks.
    _forking.importing = not _search.imports and _importing.acquire(
        timeout=FORK_WAITS_FOR_IMPORT_S
    )
    # Only once for an attempt, however often the program forks meanwhile.
    waited_s = time.monotonic() - _Process.connecting_since_s
    left_s = max(0.0, FORK_WAITS_S - waited_s)
    _forking.connecting = _connecting.acquire(timeout=left_s)


def _after_fork_in_parent() -> None:
    _forking.depth = max(0, _forking.depth - 1)
    if _forking.depth:
        return
    if _forking.connecting:
        _forking.connecting = False
        _connecting.release()
    if _forking.importing:
        _forking.importing = False
        _importing.release()


def after_fork_in_child() -> None:
    """Unlock all; called again in a child that C code forks, without the hooks."""
    if _Process.pid == os.getpid():
        return
    _Process.pid = os.getpid()
    if _importing.locked() and not _forking.importing:
        _Process.may_import = False
    _forking.importing = _forking.connecting = False
    _forking.depth = 0
    for lock in (_importing, _connecting):
        lock._at_fork_reinit()  # type: ignore[attr-defined]


# The hook that was registered last runs first. `logging` must have registered its own:
# a fork that waits here with its lock would hold up the import that it waits for.
os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=after_fork_in_child,
)


class BrokerSearch:
    """One attempt to connect to the broker; runs in a thread since it may block."""

    def __init__(
        self, settings: Settings, on_error: "Callable[[KafkaError], None]"
    ) -> None:
        """Start the thread, if there is an address to connect to.

        `on_error` becomes the error callback of the producer.
        """
        self._on_error = on_error
        self._stack: LocalStack | None = None
        self.address = settings.kafka
        """Where the broker is, None without a setting and without a local stack."""
        self._error: str | None = None
        self.producer: Producer | None = None
        """The producer, if the attempt succeeded."""
        self._abandoned = False
        self.finished = False
        """True after success or failure."""
        self.refused = False
        """True if the broker has answered, and rejects this client."""
        if self.address is None:
            # Resolved for each attempt, since the local stack may start meanwhile.
            self._stack = local_stack(nearest_lake(settings))
            self.address = self._stack.kafka if self._stack else None
        self._settings = settings.replace(kafka=self.address)
        self._started_s = time.monotonic()
        if self.address is None:
            self._error = "no stack"
            self.finished = True
        else:
            # Not `threading.Thread`: programs join all those that they find.
            _thread.start_new_thread(self._run, ())

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
            self.refused = not isinstance(error, Transient)
        except Exception as error:
            self._error = error_name(error)
        finally:
            self.finished = True
        if self._abandoned:
            self.producer = None

    def abandon(self) -> None:
        """End the producer, now or when the attempt ends: no caller will use it.

        A child that a thread has forked would run as long as the producer's threads.
        """
        self._abandoned = True
        if self.finished:
            self.producer = None

    def _connect(self) -> "Producer | None":
        if not _Process.may_import:
            self._error = "this process was forked while its parent loaded the client"
            return None
        with _importing, _search:
            # A host lookup would import this outside the lock.
            importlib.import_module("encodings.idna")
            importlib.import_module("confluent_kafka")

            from semloop.kafka.topic import TopicAdmin

        with _connecting:
            _Process.connecting_since_s = time.monotonic()
            if not listens(str(self._settings.kafka), RETRY_S):
                self._error = "no server listens on this address"
                return None
            if self._stack is not None and not self._is_of(self._stack):
                self._error = "the server there is not the broker of the local stack"
                return None
            with TopicAdmin(self._settings) as admin:
                admin.ensure()
            return self._connected()

    def _connected(self) -> "Producer | None":
        """Return a producer that has the topic's metadata.

        The frame of `_connect` may be kept for longer, by an error of the other client.
        The producer would end when that is collected, in a thread of the host; and its
        end may take indefinitely, if one of its threads hangs in the lookup of a host.
        """
        from confluent_kafka import Producer

        callback = {"error_cb": self._on_error}
        producer = Producer(producer_config(self._settings) | CONFIG | callback)
        try:
            producer.list_topics(self._settings.topic, RETRY_S)
        except Exception as error:
            # Not raised: the producer must end here, not with the error's frames.
            self._error = error_name(error)
            return None
        return producer

    def _is_of(self, stack: LocalStack) -> bool:
        """Return True if the broker has the topic that the stack has created.

        After a crash of the stack another server may listen on its port.
        """
        from semloop.kafka.topic import TopicAdmin

        with TopicAdmin(self._settings.replace(topic=stack.topic)) as admin:
            found = admin.describe()
        return stack.topic_id is not None and found.topic_id == stack.topic_id


def error_name(error: Exception) -> str:
    """Return Kafka's error code, else the exception type; texts may quote events."""
    name = getattr(error.args[0], "name", None) if error.args else None
    return str(name()) if callable(name) else type(error).__name__
