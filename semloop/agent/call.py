"""Times and records one call of a tool."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from semloop.agent.endings import ended_by, error_text
from semloop.agent.notes import FIELD, Notes
from semloop.errors import SemLoopError

# Receives the fields of the payload of a finished call.
Record = Callable[[Mapping[str, object]], object]


class Call:
    """`with s.tool("search", args) as call: call.result = ...`."""

    def __init__(self, record: Record, name: str, arguments: object) -> None:
        """`record` receives the payload of the finished call."""
        self._record = record
        self._name = name
        self._arguments = arguments
        self._started_s: float | None = None
        self._continues = False
        self.result: object = None
        """The tool's result; set it inside the block."""
        self.call_id: object = None
        self.notes: Notes | None = None
        """What was changed in the result already."""

    def continues(self) -> None:
        """Do not record the call at the end of this block, but of the next one."""
        self._continues = True

    def __enter__(self) -> Self:
        if self._started_s is None:
            self._started_s = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._continues and error is None:
            self._continues = False
            return
        payload = self._payload(error)
        self._started_s = None
        try:
            self._record(payload)
        except SemLoopError:
            # The caller's own exception is the one to propagate.
            if error is None:
                raise

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _payload(self, error: BaseException | None) -> Mapping[str, object]:
        started_s = self._started_s or 0.0
        ended = ended_by(error)
        failed = error is not None and ended is None
        result = self.result
        if failed and result is None and error is not None:
            result = error_text(error)
        payload = {
            "tool": self._name,
            "status": "error" if failed else "success",
            "arguments": self._arguments,
            "result": result,
            "duration_ms": round((time.perf_counter() - started_s) * 1000, 3),
            "call_id": self.call_id,
            "error_type": type(error).__name__ if failed else None,
            "ended": ended,
        }
        if self.notes is not None:
            payload[FIELD] = self.notes.texts() or None
        return payload
