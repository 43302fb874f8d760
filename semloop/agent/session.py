"""The API for the events of one session."""

from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self, overload

from semloop.agent.block import Block
from semloop.agent.current import Blocks, Emit, Recorder
from semloop.agent.endings import ended_by, error_text, stack_of
from semloop.agent.ids import new_span_id
from semloop.agent.metadata import Metadata, fields_of
from semloop.agent.tool import F, Tool, tool_of
from semloop.errors import SemLoopError

Outcome = Literal["success", "partial", "failure"]
Role = Literal["user", "assistant", "system", "tool", "developer", "function"]
Source = Literal["human", "agent", "evaluator"]


class Session(Block):
    """The events of one task; for any thread, as `with` or `async with`.

    Inside the block, it is the session of the current context: tools decorated with
    `@semloop.tool` and `@agent.tool` record their calls in it. Every method that sends
    an event takes `metadata`, values of your own that are stored with the event.

    An exception that leaves the block is recorded as an `error` and a `completion` with
    the outcome failure, and propagates. Cancellation, a closed generator and an exit
    with status 0 propagate, too, but are no failures.
    """

    __slots__ = ("__weakref__", "_blocks", "_completed", "_recorder")

    def __init__(
        self,
        emit: Emit,
        meta: Mapping[str, object],
        *,
        agent: object = None,
        metadata: Metadata = None,
        long_call_s: float = 0.0,
    ) -> None:
        """`emit(kind, meta, payload, metadata)` sends one event and returns its id."""
        own = fields_of(metadata)
        self._recorder = Recorder(emit, meta, agent, own, long_call_s)
        self._completed = False
        self._blocks = Blocks(self._recorder)

    @property
    def id(self) -> str:
        """The session's id; later feedback refers to it."""
        return str(self._recorder.meta["session_id"])

    def tool_call(
        self,
        tool: str,
        arguments: object = None,
        result: object = None,
        *,
        status: Literal["success", "error"] = "success",
        duration_ms: float | None = None,
        call_id: object = None,
        error_type: str | None = None,
        credits_used: float | None = None,
        metadata: Metadata = None,
    ) -> str:
        """Record a finished call of a tool; return the event's id."""
        payload = {
            "tool": tool, "status": status, "arguments": arguments, "result": result,
            "duration_ms": duration_ms, "call_id": call_id, "error_type": error_type,
        }  # fmt: skip
        return self._recorder.record(
            "tool_call", payload, metadata,
            credits_used=credits_used, span_id=new_span_id(),
        )  # fmt: skip

    @overload
    def tool(self, name: str, arguments: object = None) -> Tool: ...

    @overload
    def tool(self, name: F) -> F: ...

    def tool(self, name: str | F, arguments: object = None) -> Tool | F:
        """Time and record a call, including its error.

        Use `with s.tool("search", args) as call: call.result = ...`, or decorate any
        callable with `@s.tool` or `@s.tool("search")`. A generator is recorded when it
        is used up or closed, with what it yielded.
        """
        return tool_of(lambda: self._recorder, name, arguments)

    def message(
        self,
        role: Role,
        content: object,
        *,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        credits_used: float | None = None,
        metadata: Metadata = None,
    ) -> str:
        """Record a message and the role of its author; return the event's id.

        Args:
            role: `developer` is stored as `system`, `function` as `tool`.
            content: text, or a list of parts as APIs have it; its text is stored.
            model: name of the model that wrote it.
            input_tokens: tokens that the model read.
            output_tokens: tokens that the model wrote.
            cached_tokens: those of `input_tokens` that a cache had.
            reasoning_tokens: those of `output_tokens` that the model only thought.
            credits_used: cost of the message.
            metadata: values of your own.
        """
        payload = {
            "role": role, "content": content, "model": model,
            "input_tokens": input_tokens, "output_tokens": output_tokens,
            "cached_tokens": cached_tokens, "reasoning_tokens": reasoning_tokens,
        }  # fmt: skip
        return self._recorder.record(
            "message", payload, metadata, credits_used=credits_used
        )

    def state_change(
        self,
        to_state: str,
        from_state: str | None = None,
        reason: str | None = None,
        *,
        metadata: Metadata = None,
    ) -> str:
        """Record a transition from one state to another; return the event's id."""
        payload = {"to_state": to_state, "from_state": from_state, "reason": reason}
        return self._recorder.record("state_change", payload, metadata)

    def error(
        self,
        error: BaseException | str,
        message: str | None = None,
        *,
        recoverable: bool | None = None,
        metadata: Metadata = None,
    ) -> str:
        """Record a failure outside a tool call; return the event's id.

        Args:
            error: the exception, or the error type as text.
            message: the error message; the exception's text if not given.
            recoverable: True if the agent can continue.
            metadata: values of your own.
        """
        stack: str | None = None
        error_type: object = error
        text: object = "" if message is None else message
        if isinstance(error, BaseException):
            stack, error_type = stack_of(error), type(error).__name__
            text = error_text(error) if message is None else message
        payload = {
            "error_type": error_type, "message": text, "stack": stack,
            "recoverable": recoverable,
        }  # fmt: skip
        return self._recorder.record("error", payload, metadata)

    def feedback(
        self,
        name: str,
        score: float | None = None,
        *,
        source: Source = "agent",
        label: str | None = None,
        comment: str | None = None,
        event_id: object = None,
        metadata: Metadata = None,
    ) -> str:
        """Rate the session, or one of its events; return the event's id."""
        payload = {
            "name": name, "source": source, "score": score, "label": label,
            "comment": comment, "event_id": event_id,
        }  # fmt: skip
        return self._recorder.record("feedback", payload, metadata)

    def complete(
        self,
        outcome: Outcome = "success",
        *,
        reward: float | None = None,
        summary: str | None = None,
        task: str | None = None,
        metadata: Metadata = None,
    ) -> str:
        """Record the end of the task and close the episode; return the event's id."""
        self._completed = True
        payload = {
            "outcome": outcome, "task": task, "reward": reward, "summary": summary,
        }  # fmt: skip
        return self._recorder.record("completion", payload, metadata)

    def __enter__(self) -> Self:
        self._blocks.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._blocks.leave()
        if error is None or ended_by(error) is not None:
            return
        try:
            self.error(error, recoverable=False)
            if not self._completed:
                self.complete("failure")
        except SemLoopError:
            return  # The caller's own exception is the one to propagate.
