"""Times and records one call of a tool: a block or a decorated function."""

import functools
import inspect
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class Tool:
    """`with s.tool("search", args) as call`, `@s.tool` or `@s.tool("search")`."""

    def __init__(
        self, record: Callable[..., str], name: str, arguments: object
    ) -> None:
        """`record` receives the finished call, as `Session.tool_call` does."""
        self._record = record
        self._name = name
        self._arguments = arguments
        self._started_s = 0.0
        self.result: object = None
        """The tool's result; set it inside the block."""
        self.call_id: str | None = None

    def __call__(self, function: F) -> F:
        """Decorate a function: record each of its calls as a call of the tool."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._call(function, args, kwargs) as call:
                    call.result = await function(*args, **kwargs)
                return call.result

            return cast("F", async_wrapper)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._call(function, args, kwargs) as call:
                call.result = function(*args, **kwargs)
            return call.result

        return cast("F", wrapper)

    def __enter__(self) -> Self:
        self._started_s = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        duration_ms = (time.perf_counter() - self._started_s) * 1000
        failed = error is not None
        self._record(
            self._name,
            self._arguments,
            str(error) if failed and self.result is None else self.result,
            status="error" if failed else "success",
            duration_ms=round(duration_ms, 3),
            call_id=self.call_id,
            error_type=type(error).__name__ if failed else None,
        )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _call(self, function: Any, args: Any, kwargs: Any) -> "Tool":
        """Return the recorder of one call, with its arguments by name."""
        try:
            arguments: object = (
                inspect.signature(function).bind(*args, **kwargs).arguments
            )
        except (TypeError, ValueError):
            arguments = {"args": args, **kwargs}
        return Tool(self._record, self._name, arguments)
