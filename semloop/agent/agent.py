"""`Agent`: the API for authors of agents.

    agent = Agent("tool-builder")
    with agent.session(task="find a flight to Oslo") as s:
        s.message("user", "to Oslo, please")
        with s.tool("search", {"to": "OSL"}) as call:
            call.result = search("OSL")
        s.complete("success")

No call waits for a broker, and only the caller's own errors are raised: events go
through a bounded queue to a thread, which stores them on disk while the broker is
unavailable. docs/agents.md lists what may be lost, and when.
"""

import contextlib
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from semloop.agent.emitters import emitter_of
from semloop.agent.events import check_names, encode
from semloop.agent.identity import as_text, new_id, usable_meta
from semloop.agent.interpreters import check_interpreter
from semloop.agent.record_ids import record_ids
from semloop.agent.session import Session, Source
from semloop.errors import EventRefused, StorageUnavailable
from semloop.sampling import is_kept
from semloop.settings import Settings, load

log = logging.getLogger("semloop")
# Name of an agent without a usable one, so that its events are stored.
UNNAMED = "unnamed"
# Maximum distinct refusals to log; each is logged once.
LOGGED_REFUSALS_MAX = 100


class Agent:
    """A named agent; create one and use it from any thread or task.

    Args:
        name: 1 to 200 characters; docs/reference/identifiers.md has all bounds.
        namespace: the namespace of its events in memory.
        strict: raise errors that are otherwise counted and logged once.
        settings: read from the environment and `semloop.toml` if not given.

    Raises:
        ConfigError: a setting is invalid, or this is a sub-interpreter.
        EventRefused: `strict`, and the name or the namespace is invalid.
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: str = "default",
        strict: bool = False,
        settings: Settings | None = None,
    ) -> None:
        check_interpreter()
        self.name = as_text(name)
        self._strict = strict
        self._settings = settings or load()
        self._emitter = emitter_of(self._settings)
        self._emitter.start()
        # No lock: a signal handler that emits would wait for the code it interrupts.
        self._refused: dict[str, object] = {}
        self._dropped = 0
        meta = {"session_id": "-", "namespace": namespace}
        self.namespace = str(self._checked(meta)["namespace"])
        self.name = self.name or UNNAMED

    @property
    def dropped(self) -> int:
        """Number of events that were refused, or that this process could not store."""
        return self._dropped + self._emitter.dropped

    def session(
        self,
        session_id: object = None,
        *,
        namespace: object = None,
        task: str | None = None,
        task_type: str | None = None,
        user_id: object = None,
        tags: Iterable[object] | None = None,
        trace_id: object = None,
    ) -> Session:
        """Return a session.

        Args:
            session_id: text, a number, a UUID or another scalar; a new id if not given.
            namespace: its namespace in memory; the agent's if not given.
            task: what is to be done.
            task_type: the kind of task.
            user_id: the user whom it belongs to, a scalar.
            tags: texts; a text alone is one tag.
            trace_id: the trace that it is a part of, a scalar.

        Raises:
            EventRefused: `strict`, and an argument is invalid. Without `strict`, this
                is logged, and an id that is not a scalar is replaced by a new one.
        """
        meta: dict[str, object] = {
            "session_id": session_id,
            "namespace": self.namespace if namespace is None else namespace,
            "task": task,
            "task_type": task_type,
            "user_id": user_id,
            "tags": tags,
            "trace_id": trace_id,
        }
        return Session(self.emit, self._checked(meta))

    def emit(
        self,
        kind: str,
        meta: Mapping[str, object],
        payload: Mapping[str, object],
    ) -> str:
        """Send one event; the methods of a session call this.

        Returns:
            the event's id, even if sampling dropped the event.

        Raises:
            EventRefused: `strict`, and the arguments do not form a valid event.
            StorageUnavailable: `strict`, and neither queue nor spool can store it.
        """
        event_id = new_id()
        try:
            event = self._encoded(event_id, kind, meta, payload)
        except EventRefused as error:
            if self._strict:
                raise
            self._refuse(error)
            return event_id
        if event is None:
            return event_id
        # Not that of `meta`: an id that is too long is shortened.
        key = record_ids(event).meta.session_id.encode()
        drop_reason = self._emitter.emit(key, event)
        if drop_reason and self._strict:
            msg = f"The event cannot be stored: {drop_reason}."
            raise StorageUnavailable(msg, "Check the broker and the spool folder.")
        return event_id

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the broker has all events that were not dropped.

        Returns:
            False after a timeout: the remaining events are in memory or in the spool,
            and are sent as soon as possible.
        """
        return self._emitter.flush(timeout_s)

    def _encoded(
        self,
        event_id: str,
        kind: str,
        meta: Mapping[str, object],
        payload: Mapping[str, object],
    ) -> bytes | None:
        """Return an event as JSON; None if sampling drops it."""
        try:
            failed = payload.get("status") == "error"
            session_id = str(meta["session_id"])
            sample = self._settings.agent.sample
            if not is_kept(kind, self.name, session_id, sample, failed=failed):
                return None
            return encode(
                kind, event_id, self.name, datetime.now(UTC), payload, meta,
                self._settings.archive.record_bytes_max,
                None if self._strict else self._log_once,
            )  # fmt: skip
        except EventRefused:
            raise
        except Exception as error:  # the host must not fail
            msg = f"An event cannot be encoded: {type(error).__name__}."
            raise EventRefused(msg, "Pass text, numbers, lists and dicts.") from None

    def _checked(self, meta: Mapping[str, object]) -> dict[str, object]:
        """Return `meta` with usable ids; report now what is wrong with it."""
        usable, problems = usable_meta(meta)
        if not problems:
            try:
                check_names(self.name, usable)
            except EventRefused as error:
                problems.append(error)
        if problems and self._strict:
            raise problems[0]
        for problem in problems:
            self._log_once(problem)
        return usable

    def _refuse(self, error: EventRefused) -> None:
        self._dropped += 1
        self._log_once(error)

    def _log_once(self, error: EventRefused) -> None:
        own = object()
        is_full = len(self._refused) >= LOGGED_REFUSALS_MAX
        if not is_full and self._refused.setdefault(error.what, own) is own:
            # The host's filters and handlers may raise.
            with contextlib.suppress(Exception):
                log.warning("%s %s This is logged once.", error.what, error.todo)


def feedback(
    session_id: object,
    name: str,
    score: float | None = None,
    *,
    source: Source = "human",
    label: str | None = None,
    comment: str | None = None,
    event_id: object = None,
    agent: str = "feedback",
    namespace: str = "default",
) -> str:
    """Rate a session, which may have ended days ago; return the event's id."""
    session = Agent(agent, namespace=namespace).session(session_id)
    return session.feedback(
        name, score, source=source, label=label, comment=comment, event_id=event_id
    )
