"""`Agent`: the API for authors of agents.

    with Agent("tool-builder") as agent:
        with agent.session(task="find a flight to Oslo") as s:
            s.message("user", "to Oslo, please")
            with s.tool("search", {"to": "OSL"}) as call:
                call.result = search("OSL")
            s.complete("success")

No call waits for a broker, and only the caller's own errors are raised: an event lies
in the spool when a call returns, and a thread sends it from there. docs/agents.md lists
what may be lost, and when.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self, overload

from semloop.agent.closing import flush_in_thread
from semloop.agent.emitters import emitter_of
from semloop.agent.encoder import Encoder
from semloop.agent.identity import as_text, checked_meta
from semloop.agent.ids import new_id
from semloop.agent.interpreters import check_interpreter
from semloop.agent.metadata import Metadata
from semloop.agent.record_ids import record_ids
from semloop.agent.refusals import Refusals
from semloop.agent.session import Session, Source
from semloop.agent.stats import Stats, stats_of
from semloop.agent.tool import F, Tool, found_session, tool_of
from semloop.errors import EventRefused, StorageUnavailable
from semloop.settings import Settings, load

# Name of an agent without a usable one, so that its events are stored.
UNNAMED = "unnamed"


class Agent:
    """A named agent; create one and use it from any thread or task.

    At the end of a block `with Agent(...) as agent:` it waits for the broker, for at
    most `SEMLOOP_AGENT_FLUSH_S`; at that of an `async with` the event loop runs on. No
    event needs this: one that is not delivered then is delivered later. The agent can
    be used after the block.

    Args:
        name: 1 to 200 characters; docs/reference/identifiers.md has all bounds.
        namespace: the namespace of its events in memory.
        version: its version, by which its results can be compared.
        strict: raise errors that are otherwise counted and logged once.
        settings: read from the environment and `semloop.toml` if not given.

    Raises:
        ConfigError: a setting is invalid, or this is a sub-interpreter.
        EventRefused: `strict`, and the name or the namespace is invalid.
    """

    __slots__ = (
        "__weakref__", "_emitter", "_encoder", "_name", "_namespace", "_refusals",
        "_settings", "_version",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        namespace: str = "default",
        version: object = None,
        strict: bool = False,
        settings: Settings | None = None,
    ) -> None:
        check_interpreter()
        self._name = as_text(name)
        self._version = version
        self._refusals = Refusals(strict)
        self._settings = settings or load()
        self._emitter = emitter_of(self._settings)
        self._emitter.start()
        meta = {"session_id": "-", "namespace": namespace}
        self._namespace = str(
            checked_meta(self._name, meta, self._refusals)["namespace"]
        )
        self._name = self._name or UNNAMED
        self._encoder = Encoder(self._name, self._settings, self._refusals)

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def namespace(self) -> str:
        """The namespace of its sessions."""
        return self._namespace

    @property
    def dropped(self) -> int:
        """Number of events that were refused, or that this process could not store."""
        return self._refusals.count + self._emitter.drops.total

    def stats(self) -> Stats:
        """Return what has become of the events so far; cheap enough for each request.

        All but `refused` counts the events of all agents of this process that send to
        the same broker and topic.
        """
        return stats_of(self._emitter, self._refusals.count)

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
        prompt_id: object = None,
        prompt_version: object = None,
        run_id: object = None,
        metadata: Metadata = None,
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
            prompt_id: the prompt with which the agent works.
            prompt_version: the version of the prompt.
            run_id: the run that it belongs to, of an experiment for example.
            metadata: values of your own, which are stored with each of its events.

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
            "agent_version": self._version,
            "prompt_id": prompt_id,
            "prompt_version": prompt_version,
            "run_id": run_id,
        }
        usable = checked_meta(self._name, meta, self._refusals)
        return Session(
            self.emit, usable, agent=self, metadata=metadata,
            long_call_s=self._settings.agent.long_call_s,
        )  # fmt: skip

    @overload
    def tool(self, name: str, arguments: object = None) -> Tool: ...

    @overload
    def tool(self, name: F) -> F: ...

    def tool(self, name: str | F, arguments: object = None) -> Tool | F:
        """Time and record a call in the session of the current context.

        As `semloop.tool`, but a session of this agent is preferred to the innermost.
        """
        return tool_of(lambda: found_session(self), name, arguments)

    def emit(
        self, kind: str, meta: Mapping[str, object], payload: Mapping[str, object],
        metadata: Metadata = None, *,
        event_id: str | None = None, at: datetime | None = None,
    ) -> str:  # fmt: skip
        """Send one event; the methods of a session call this.

        `event_id`: a UUID, new by default; `at`: the event's time, now by default.

        Returns:
            the event's id, even if sampling dropped the event.

        Raises:
            EventRefused: `strict`, and the arguments do not form a valid event.
            StorageUnavailable: `strict`, and neither queue nor spool can store it.
        """
        event_id = event_id or new_id()
        try:
            event = self._encoder.encode(event_id, kind, meta, payload, metadata, at)
        except EventRefused as error:
            self._refusals.refuse(error)
            return event_id
        if event is None:
            return event_id
        # Not that of `meta`: an id that is too long is shortened.
        key = record_ids(event).meta.session_id.encode()
        drop_reason = self._emitter.emit(key, event)
        if drop_reason and self._refusals.strict:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush(self._settings.agent.flush_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await flush_in_thread(self.flush, self._settings.agent.flush_s)


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
    metadata: Metadata = None,
) -> str:
    """Rate a session, which may have ended days ago; return the event's id."""
    session = Agent(agent, namespace=namespace).session(session_id)
    return session.feedback(
        name, score, source=source, label=label, comment=comment, event_id=event_id,
        metadata=metadata,
    )  # fmt: skip
