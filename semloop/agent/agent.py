"""`Agent`: what the author of an agent writes against.

    agent = Agent("tool-builder")
    with agent.session(task="find a flight to Oslo") as s:
        s.message("user", "to Oslo, please")
        with s.tool("search", {"to": "OSL"}) as call:
            call.result = search("OSL")
        s.complete("success")

Nothing here waits for a broker or raises what is not the caller's own error: events go
through a bounded queue to a thread, which keeps them on disk while the broker is away.
docs/agents.md says what may be lost, and when.
"""

import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from semloop.agent.emitter import emitter_of
from semloop.agent.events import encode
from semloop.agent.session import Session, Source
from semloop.errors import EventRefused, StorageUnavailable
from semloop.sampling import is_kept
from semloop.settings import Settings, load

log = logging.getLogger("semloop")
# Different reasons that are logged, each once.
REFUSALS_TOLD = 100


class Agent:
    """An agent by its name; make one and use it from any thread or task.

    Args:
        name: 1 to 200 characters.
        namespace: whose memory its events belong to.
        strict: raise what is otherwise counted and logged once.
        settings: read from the environment and `semloop.toml` if not given.

    Raises:
        ConfigError: the settings are wrong.
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: str = "default",
        strict: bool = False,
        settings: Settings | None = None,
    ) -> None:
        self.name = name
        self.namespace = namespace
        self._strict = strict
        self._settings = settings or load()
        self._emitter = emitter_of(self._settings)
        self._refused: set[str] = set()
        self._dropped = 0
        self._lock = threading.Lock()

    @property
    def dropped(self) -> int:
        """Events that were refused here, or found no place in this process."""
        return self._dropped + self._emitter.dropped

    def session(
        self,
        session_id: str | None = None,
        *,
        task: str | None = None,
        task_type: str | None = None,
        user_id: str | None = None,
        tags: Sequence[str] | None = None,
        trace_id: str | None = None,
    ) -> Session:
        """A session; without an id it is a new one."""
        meta: dict[str, object] = {
            "session_id": session_id or str(uuid.uuid4()),
            "namespace": self.namespace,
            "task": task,
            "task_type": task_type,
            "user_id": user_id,
            "tags": list(tags) if tags is not None else None,
            "trace_id": trace_id,
        }
        return Session(self.emit, meta)

    def emit(
        self,
        kind: str,
        meta: Mapping[str, object],
        payload: Mapping[str, object],
    ) -> str:
        """Send one event; what the methods of a session call.

        Returns:
            its id, whether it was sent or sampled away.

        Raises:
            EventRefused: `strict`, and what was passed makes no event.
            StorageUnavailable: `strict`, and there is no place for it.
        """
        event_id = str(uuid.uuid4())
        failed = payload.get("status") == "error"
        session_id = str(meta["session_id"])
        sample = self._settings.agent.sample
        if not is_kept(kind, self.name, session_id, sample, failed=failed):
            return event_id
        try:
            event = encode(
                kind, event_id, self.name, datetime.now(UTC), payload, meta,
                self._settings.archive.event_bytes_max,
            )  # fmt: skip
        except EventRefused as error:
            if self._strict:
                raise
            self._refuse(error)
            return event_id
        why = self._emitter.emit(event)
        if why and self._strict:
            msg = f"The event finds no place: {why}."
            raise StorageUnavailable(msg, "Check the broker and the spool's folder.")
        return event_id

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the broker has all that was not dropped; False: not in time.

        What it has not is in memory or in the spool, and sent as soon as it can be.
        """
        return self._emitter.flush(timeout_s)

    def _refuse(self, error: EventRefused) -> None:
        with self._lock:
            self._dropped += 1
            new = error.what not in self._refused and len(self._refused) < REFUSALS_TOLD
            if new:
                self._refused.add(error.what)
        if new:
            log.warning("%s %s This is said once.", error.what, error.todo)


def feedback(
    session_id: str,
    name: str,
    score: float | None = None,
    *,
    source: Source = "human",
    label: str | None = None,
    comment: str | None = None,
    event_id: str | None = None,
    agent: str = "feedback",
    namespace: str = "default",
) -> str:
    """A judgement of a session that may have ended days ago; gives the event's id."""
    session = Agent(agent, namespace=namespace).session(session_id)
    return session.feedback(
        name, score, source=source, label=label, comment=comment, event_id=event_id
    )
