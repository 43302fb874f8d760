"""Times and records one call of a tool."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal

from semloop.agent.current import Recorder, Scope, enclosing_span, enter, leave
from semloop.agent.endings import ended_by, error_text
from semloop.agent.ids import new_span_id
from semloop.agent.long_calls import long_calls
from semloop.agent.notes import FIELD, Notes
from semloop.errors import SemLoopError

# Returns the session that records a call; None without one.
FindSession = Callable[[], Recorder | None]


class Call:
    """`with s.tool("search", args) as call: call.result = ...`.

    Inside the block, attributes replace what is recorded. Any other attribute raises
    AttributeError.
    """

    __slots__ = (
        "_find", "_is_continued", "_is_reported", "_name", "_notes",
        "_parent_span_id", "_session", "_span_id", "_started_s",
        "arguments", "call_id", "credits_used", "duration_ms", "error_type",
        "metadata", "result", "status",
    )  # fmt: skip

    def __init__(self, find: FindSession, name: str, arguments: object) -> None:
        """`find` returns the session when the call begins."""
        self._find = find
        self._name = name
        self._session: Recorder | None = None
        self._span_id: str | None = None
        self._parent_span_id: str | None = None
        self._started_s: float | None = None
        self._is_continued = False
        self._is_reported = False
        self._notes: Notes | None = None
        self.arguments = arguments
        """The tool's arguments; those of a decorated function have their names."""
        self.result: object = None
        """The tool's result; if it failed and has none, the text of the error."""
        self.status: Literal["success", "error"] | None = None
        """None: an error if an exception leaves the block, or `error_type` is set."""
        self.error_type: str | None = None
        """None: the type of the exception that leaves the block."""
        self.duration_ms: float | None = None
        """None: the time that the block takes."""
        self.call_id: object = None
        """The id that the model gave the call, a scalar."""
        self.credits_used: float | None = None
        """Cost of the call."""
        self.metadata: Mapping[str, object] | None = None
        """Values of your own, stored with those of the session."""

    @property
    def name(self) -> str:
        """The tool's name."""
        return self._name

    @property
    def span_id(self) -> str | None:
        """Id of this call, which nested calls have as `parent_span_id`."""
        return self._span_id

    @property
    def is_recorded(self) -> bool:
        """False if the call began without a session."""
        return self._session is not None

    def continues(self) -> None:
        """Do not record the call at the end of this block, but of the next one."""
        self._is_continued = True

    def add_notes(self, notes: Notes) -> None:
        """Record what was changed in the result already."""
        self._notes = notes

    def begin(self) -> None:
        """Begin the call, or its next block."""
        if self._started_s is None:
            self._session = session = self._find()
            self._is_reported = False
            if session is not None:
                self._span_id = new_span_id()
                self._parent_span_id = enclosing_span(session)
            self._started_s = time.perf_counter()
        session = self._session
        if session is not None and session.long_call_s and not self._is_reported:
            long_calls.add(self, self._started_s + session.long_call_s)

    def end(self, error: BaseException | None) -> None:
        """Record the call, unless it continues in a later block."""
        long_calls.remove(self)
        if self._is_continued and error is None:
            self._is_continued = False
            return
        payload, session = self._payload(error), self._session
        self._started_s = None
        if session is None:
            return
        try:
            session.record(
                "tool_call", payload, self.metadata, span_id=self._span_id,
                parent_span_id=self._parent_span_id, credits_used=self.credits_used,
            )  # fmt: skip
        except SemLoopError:
            # The caller's own exception is the one to propagate.
            if error is None:
                raise

    def enter(self) -> Scope | None:
        """Enter the code of the tool: its own calls are nested in this one."""
        if self._session is None:
            return None
        return enter(self._session, self._span_id)

    def report(self) -> None:
        """Record that the call runs; for the thread of `LongCalls`."""
        session, started_s = self._session, self._started_s
        if session is None or started_s is None:
            return  # it has ended meanwhile
        self._is_reported = True
        payload = {
            "tool": self._name, "running_ms": _ms_since(started_s),
            "call_id": self.call_id,
        }  # fmt: skip
        session.record(
            "tool_start", payload,
            span_id=self._span_id, parent_span_id=self._parent_span_id,
        )  # fmt: skip

    def _payload(self, error: BaseException | None) -> Mapping[str, object]:
        duration_ms: object = self.duration_ms
        if duration_ms is None:
            duration_ms = _ms_since(self._started_s or 0.0)
        ended = ended_by(error)
        error_type, status, result = self.error_type, self.status, self.result
        if error is not None and ended is None:
            status = "error"
            error_type = error_type or type(error).__name__
            result = error_text(error) if result is None else result
        elif status is None:
            status = "success" if error_type is None else "error"
        payload = {
            "tool": self._name,
            "status": status,
            "arguments": self.arguments,
            "result": result,
            "duration_ms": duration_ms,
            "call_id": self.call_id,
            "error_type": error_type,
            "ended": ended,
        }
        if self._notes is not None:
            payload[FIELD] = self._notes.texts() or None
        return payload


def _ms_since(started_s: float) -> float:
    return round((time.perf_counter() - started_s) * 1000, 3)


class Entry:
    """The block of a call with the code of its tool: `with Entry(call): ...`."""

    __slots__ = ("call", "scope")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.scope: Scope | None = None

    def __enter__(self) -> Call:
        self.call.begin()
        self.scope = self.call.enter()
        return self.call

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.scope is not None:
            leave(self.scope)
        self.call.end(error)


class Recording:
    """The block in which a call is recorded, while its tool's code runs in steps."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._call.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call.end(error)
