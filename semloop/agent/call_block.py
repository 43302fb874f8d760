"""A block whose entries are calls of a tool."""

import sys
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, overload

from semloop.agent.call import Call, Entry, FindSession
from semloop.agent.current import scopes

T = TypeVar("T")


class _OfCall(Generic[T]):
    """An attribute of a block: that of the call which the running code is in."""

    __slots__ = ("_name",)

    def __set_name__(self, _: object, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, block: None, _: object) -> Self: ...

    @overload
    def __get__(self, block: "CallBlock", _: object) -> T: ...

    def __get__(self, block: "CallBlock | None", _: object) -> Self | T:
        if block is None:  # read from the class, as `inspect` does
            return self
        value: T = getattr(block.shown(sys._getframe().f_back), self._name)
        return value

    def __set__(self, block: "CallBlock", value: T) -> None:
        setattr(block.changed(sys._getframe().f_back), self._name, value)


class CallBlock:
    """`with block as call`, or `async with`: each entry is a call of its own.

    So a block can be nested in itself, and several threads, tasks and generators can be
    in it at the same time. `as call` is the call of one entry. The attributes of the
    block are those of the call that the running code is in; outside, those of the last
    call, and what is set is for the next one.
    """

    __slots__ = ("_arguments", "_entries", "_find", "_last", "_name", "_next")

    def __init__(self, find: FindSession, name: str, arguments: object) -> None:
        """`find` returns the session when a call begins."""
        self._find = find
        self._name = name
        self._arguments = arguments
        # Entered and not left, each with the frame of its `with`. Generators share the
        # context of the code that iterates over them, but not its frame.
        self._entries: list[tuple[Entry, FrameType | None]] = []
        # Not begun, as something was set in it; of several threads, one pops it.
        self._next: list[Call] = []
        self._last: Call | None = None

    arguments = _OfCall[object]()
    result = _OfCall[object]()
    status = _OfCall[Literal["success", "error"] | None]()
    error_type = _OfCall[str | None]()
    duration_ms = _OfCall[float | None]()
    call_id = _OfCall[object]()
    credits_used = _OfCall[float | None]()
    metadata = _OfCall[Mapping[str, object] | None]()

    @property
    def name(self) -> str:
        """The tool's name."""
        return self._name

    @property
    def span_id(self) -> str | None:
        """Id of the call, which nested calls have as `parent_span_id`."""
        return self.shown(sys._getframe().f_back).span_id

    @property
    def is_recorded(self) -> bool:
        """False if the call began without a session."""
        return self.shown(sys._getframe().f_back).is_recorded

    def shown(self, frame: FrameType | None) -> Call:
        """Return the call whose attributes code of a frame reads."""
        if (running := self._running(frame)) is not None:
            return running[0].call
        for call in self._next.copy():
            return call
        return self._last or self._new()

    def changed(self, frame: FrameType | None) -> Call:
        """Return the call whose attributes code of a frame sets."""
        if (running := self._running(frame)) is not None:
            return running[0].call
        for call in self._next.copy():
            return call
        call = self._new()
        self._next.append(call)
        return call

    def __enter__(self) -> Call:
        return self._enter(sys._getframe().f_back)

    async def __aenter__(self) -> Call:
        return self._enter(sys._getframe().f_back)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(sys._getframe().f_back, kind, error, trace)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(sys._getframe().f_back, kind, error, trace)

    def _new(self) -> Call:
        return Call(self._find, self._name, self._arguments)

    def _enter(self, frame: FrameType | None) -> Call:
        frame = _of_host(frame)
        try:
            call = self._next.pop()
        except IndexError:
            call = self._new()
        entry = Entry(call)
        entry.__enter__()
        self._entries.append((entry, frame))
        return call

    def _leave(self, frame: FrameType | None, *error: Any) -> None:
        frame = _of_host(frame)
        while (running := self._running(frame)) is not None:
            try:
                self._entries.remove(running)
            except ValueError:  # another thread has left it meanwhile
                continue
            self._last = running[0].call
            running[0].__exit__(*error)
            return

    def _running(
        self, frame: FrameType | None
    ) -> tuple[Entry, FrameType | None] | None:
        """Return the entry that the running code is in; None without one.

        If there are several, it is the innermost of this frame or, without one, of this
        context. Other code, such as a thread that was given the block, is in the last
        one; an entry outside sessions comes first, so that none is recorded wrongly.
        """
        found = self._entries.copy()
        if len(found) > 1:
            found = [one for one in found if one[1] is frame] or found
        if len(found) > 1:
            for scope in scopes():
                for one in found:
                    if one[0].scope is scope:
                        return one
            found = [one for one in found if one[0].scope is None] or found
        return found[-1] if found else None


def _of_host(frame: FrameType | None) -> FrameType | None:
    """Return the frame that uses an `ExitStack`, if the stack enters or leaves."""
    while frame is not None and frame.f_globals.get("__name__") == "contextlib":
        frame = frame.f_back
    return frame
