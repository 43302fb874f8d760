"""The events of one session, as the author of an agent writes them."""

import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal, Self, overload

from semloop.agent.tool import F, Tool

Outcome = Literal["success", "partial", "failure"]
Role = Literal["user", "assistant", "system", "tool"]
Source = Literal["human", "agent", "evaluator"]
# (type, meta, payload) -> the event's id.
Emit = Callable[[str, Mapping[str, object], Mapping[str, object]], str]


class Session:
    """The events of one piece of work; from any thread, `with` or `async with`.

    An exception that leaves the block becomes an `error` and a `completion` with the
    outcome failure, and goes on.
    """

    def __init__(self, emit: Emit, meta: Mapping[str, object]) -> None:
        """`emit(kind, meta, payload)` sends one event and returns its id."""
        self._send = emit
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
        return self._send(kind, self._meta | meta, payload)
