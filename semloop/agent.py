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
import traceback
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self, overload

from semloop.errors import StorageUnavailable
from semloop.sdk.emitter import emitter_of
from semloop.sdk.events import EventRefused, encode, is_kept
from semloop.sdk.tool import F, Tool
from semloop.settings import Settings, load

log = logging.getLogger("semloop")
# Different reasons that are logged, each once.
REFUSALS_TOLD = 100
Outcome = Literal["success", "partial", "failure"]
Role = Literal["user", "assistant", "system", "tool"]
Source = Literal["human", "agent", "evaluator"]


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
    ) -> "Session":
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
        return Session(self, meta)

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
        sample = self._settings.sample
        if not is_kept(kind, self.name, session_id, sample, failed=failed):
            return event_id
        try:
            event = encode(
                kind, event_id, self.name, datetime.now(UTC), payload, meta,
                self._settings.event_bytes_max,
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


class Session:
    """The events of one piece of work; from any thread, `with` or `async with`.

    An exception that leaves the block becomes an `error` and a `completion` with the
    outcome failure, and goes on.
    """

    def __init__(self, agent: Agent, meta: Mapping[str, object]) -> None:
        self._agent = agent
        self._meta = dict(meta)
        self._completed = False

    @property
    def id(self) -> str:
        """The session's id, by which feedback finds it later."""
        return str(self._meta["session_id"])

    def tool_call(
        self,
        tool: str,
        arguments: object = None,
        result: object = None,
        *,
        status: Literal["success", "error"] = "success",
        duration_ms: float | None = None,
        call_id: str | None = None,
        error_type: str | None = None,
        credits_used: float | None = None,
    ) -> str:
        """One call of a tool that has ended; gives the event's id."""
        payload = {
            "tool": tool, "status": status, "arguments": arguments, "result": result,
            "duration_ms": duration_ms, "call_id": call_id, "error_type": error_type,
        }  # fmt: skip
        return self._emit("tool_call", payload, credits_used=credits_used)

    @overload
    def tool(self, name: str, arguments: object = None) -> Tool: ...

    @overload
    def tool(self, name: F) -> F: ...

    def tool(self, name: str | F, arguments: object = None) -> Tool | F:
        """A call that is timed and recorded, its error too.

        `with s.tool("search", args) as call: call.result = ...`, or as a decorator,
        `@s.tool` or `@s.tool("search")`, of a function or a coroutine function.
        """
        if isinstance(name, str):
            return Tool(self.tool_call, name, arguments)
        return Tool(self.tool_call, name.__name__, None)(name)

    def message(
        self,
        role: Role,
        content: str,
        *,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        credits_used: float | None = None,
    ) -> str:
        """What was said, and by whom."""
        payload = {
            "role": role, "content": content, "model": model,
            "input_tokens": input_tokens, "output_tokens": output_tokens,
        }  # fmt: skip
        return self._emit("message", payload, credits_used=credits_used)

    def state_change(
        self, to_state: str, from_state: str | None = None, reason: str | None = None
    ) -> str:
        """The work went from one state to another."""
        payload = {"to_state": to_state, "from_state": from_state, "reason": reason}
        return self._emit("state_change", payload)

    def error(
        self,
        error: BaseException | str,
        message: str | None = None,
        *,
        recoverable: bool | None = None,
    ) -> str:
        """Something failed outside a tool: an exception, or a kind and a message."""
        if isinstance(error, BaseException):
            stack = "".join(traceback.format_tb(error.__traceback__)) or None
            kind, said = type(error).__name__, message or str(error)
        else:
            stack, kind, said = None, error, message or ""
        payload = {
            "error_type": kind, "message": said, "stack": stack,
            "recoverable": recoverable,
        }  # fmt: skip
        return self._emit("error", payload)

    def feedback(
        self,
        name: str,
        score: float | None = None,
        *,
        source: Source = "agent",
        label: str | None = None,
        comment: str | None = None,
        event_id: str | None = None,
    ) -> str:
        """A judgement of the session, or of one of its events."""
        payload = {
            "name": name, "source": source, "score": score, "label": label,
            "comment": comment, "event_id": event_id,
        }  # fmt: skip
        return self._emit("feedback", payload)

    def complete(
        self,
        outcome: Outcome = "success",
        *,
        reward: float | None = None,
        summary: str | None = None,
        task: str | None = None,
    ) -> str:
        """The work is done; closes the episode."""
        self._completed = True
        payload = {
            "outcome": outcome,
            "task": task,
            "reward": reward,
            "summary": summary,
        }
        return self._emit("completion", payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.error(error, recoverable=False)
            if not self._completed:
                self.complete("failure")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _emit(self, kind: str, payload: Mapping[str, object], **meta: object) -> str:
        return self._agent.emit(kind, self._meta | meta, payload)


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
