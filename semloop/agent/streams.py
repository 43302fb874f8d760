"""Records what generators, async generators and coroutines do until their end.

The wrappers keep the protocol of what they wrap: `send`, `throw`, `close` and the value
that a generator returns.
"""

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
)
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

import msgspec

from semloop.agent.call import Call, Entry, Recording
from semloop.agent.current import leave
from semloop.agent.endings import ended_by, error_text
from semloop.agent.notes import Notes
from semloop.agent.plain import VALUE_WEIGHT, WEIGHT_MAX
from semloop.agent.values import to_plain

# Starts a call: what its function returns, and the recorder.
Begin = Callable[[Any, Any], tuple[Any, Call]]
# `inspect.CO_ITERABLE_COROUTINE`; importing `inspect` takes milliseconds.
CO_ITERABLE_COROUTINE = 0x100
SCALARS = (str, int, float, bool, type(None))


class Yielded:
    """Copies of what a generator yielded, up to the size of an event.

    They are copies so that large values can be freed, and changed, by the caller.
    Without `is_recorded`, nothing is copied.
    """

    def __init__(self, is_recorded: bool) -> None:
        self._values: list[object] = []
        self._count = 0
        self._left = WEIGHT_MAX if is_recorded else 0
        self.notes = Notes()

    def add(self, value: object) -> None:
        """Keep a value, if there is room."""
        self._count += 1
        if self._left <= 0:
            return
        try:
            if type(value) not in SCALARS:
                name = f"result.{self._count - 1}"
                value = to_plain(value, name, self.notes, self._left)
            self._left -= VALUE_WEIGHT + _size(value)
        except Exception as error:  # such as MemoryError: the generator must not fail
            value = f"<{type(value).__name__}: {type(error).__name__}>"
        self._values.append(value)

    def result(
        self, returned: object = None, error: BaseException | None = None
    ) -> object:
        """Return the values; with what was returned, or the error, if there is one."""
        kept = len(self._values)
        if kept < self._count:
            self.notes.add("result", f"shortened to {kept:,} of {self._count:,} values")
        if error is not None and ended_by(error) is None:
            text = error_text(error)
            return {"yielded": self._values, "error": text} if kept else text
        if returned is not None:
            return {"yielded": self._values, "returned": returned}
        return self._values


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    return 0 if type(value) in SCALARS else len(msgspec.json.encode(value))


class _Tap:
    """A generator that reports what it yields; for `yield from`.

    Only its own code is in the scope of the call, not that of its caller between two
    values.
    """

    def __init__(
        self, generator: Generator[Any, Any, Any], call: Call, yielded: Yielded
    ) -> None:
        self._generator = generator
        self._call = call
        self._yielded = yielded

    def __iter__(self) -> "_Tap":
        return self

    def __next__(self) -> Any:
        return self._step(next, self._generator)

    def send(self, value: Any) -> Any:
        return self._step(self._generator.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._generator.throw, *error)

    def close(self) -> None:
        scope = self._call.enter()
        try:
            self._generator.close()
        finally:
            if scope is not None:
                leave(scope)

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:
        scope = self._call.enter()
        try:
            value = step(*args)
        finally:
            if scope is not None:
                leave(scope)
        self._yielded.add(value)
        return value


def generator_function(begin: Begin) -> Callable[..., Generator[Any, Any, Any]]:
    """Return a generator function that records each of its calls at its end."""

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        source, call = begin(args, kwargs)
        yielded = Yielded(call.is_recorded)
        with Recording(call):
            call.add_notes(yielded.notes)
            try:
                returned = yield from _Tap(source, call, yielded)
            except BaseException as error:
                call.result = yielded.result(error=error)
                raise
            call.result = yielded.result(returned)
        return returned

    return wrapper


def async_generator_function(begin: Begin) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Return an async generator function that records each of its calls at its end."""

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        source, call = begin(args, kwargs)
        yielded = Yielded(call.is_recorded)
        with Recording(call):
            call.add_notes(yielded.notes)
            # `async for` would not pass on what is sent and thrown.
            step = source.asend(None)
            try:
                while True:
                    value = await _inside(call, step)
                    yielded.add(value)
                    try:
                        sent = yield value
                    except GeneratorExit:
                        await _inside(call, source.aclose())
                        raise
                    except BaseException as error:
                        step = source.athrow(error)
                    else:
                        step = source.asend(sent)
            except StopAsyncIteration:
                call.result = yielded.result()
            except BaseException as error:
                call.result = yielded.result(error=error)
                raise

    return wrapper


async def _inside(call: Call, step: Awaitable[Any]) -> Any:
    """Wait for a step of an async generator in the scope of its call."""
    scope = call.enter()
    try:
        return await step
    finally:
        if scope is not None:
            leave(scope)


def coroutine_function(begin: Begin) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return a coroutine function that records each of its calls at its end."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        source, call = begin(args, kwargs)
        with Entry(call):
            return recorded(await source, call)

    return wrapper


def recorded(result: Any, call: Call) -> Any:
    """Return the result of a call, with recording if it is to be iterated or awaited.

    The call is then recorded at its end, not now.
    """
    for kind, function in FUNCTIONS.items():
        if isinstance(result, kind) and not is_iterable_coroutine(result):
            call.continues()
            return function(lambda *_: (result, call))()
    call.result = result
    return result


def is_iterable_coroutine(value: Any) -> bool:
    """Return True for a generator, or its function, of `types.coroutine`.

    It would no longer be awaitable as another generator.
    """
    code = getattr(value, "gi_code", getattr(value, "__code__", None))
    return code is not None and bool(code.co_flags & CO_ITERABLE_COROUTINE)


FUNCTIONS: Mapping[type, Callable[[Begin], Callable[..., Any]]] = {
    GeneratorType: generator_function,
    AsyncGeneratorType: async_generator_function,
    CoroutineType: coroutine_function,
}
