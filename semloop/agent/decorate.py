"""Decorates a function of any kind as a tool."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from semloop.agent import streams
from semloop.agent.call import Call, Entry

# Starts the recorder of one call, with the arguments by name.
Start = Callable[[Mapping[str, object]], Call]


def decorated(function: Any, start: Start) -> Any:
    """Return a function that records each call, of the same kind as the given one.

    Args:
        function: a function, coroutine function, generator function or async generator
            function; a method, `functools.partial` or another callable object.
        start: makes the recorder of one call.
    """
    import inspect  # takes milliseconds; agents without decorators do not need it

    if isinstance(function, staticmethod | classmethod):
        return type(function)(decorated(function.__func__, start))
    bind = _Arguments(function)

    def begin(args: Any, kwargs: Any) -> tuple[Any, Call]:
        with Entry(start(bind(args, kwargs))) as call:
            call.continues()
            return function(*args, **kwargs), call

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with Entry(start(bind(args, kwargs))) as call:
            return streams.recorded(function(*args, **kwargs), call)

    if _is(inspect.isasyncgenfunction, function):
        wrapper = streams.async_generator_function(begin)
    elif _is(inspect.iscoroutinefunction, function):
        wrapper = streams.coroutine_function(begin)
    elif streams.is_iterable_coroutine(function):
        pass
    elif _is(inspect.isgeneratorfunction, function):
        wrapper = streams.generator_function(begin)
    functools.update_wrapper(wrapper, function)
    if not hasattr(function, "__name__"):
        wrapper.__name__ = wrapper.__qualname__ = name_of(function)
    return wrapper


def name_of(function: Any) -> str:
    """Return the name of a callable: of a partial, that of its function."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, staticmethod | classmethod):
        function = function.__func__
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _is(question: Callable[[Any], bool], function: Any) -> bool:
    """Return True if the function is of a kind, or the `__call__` of an object is."""
    return question(function) or (
        not isinstance(function, type | functools.partial)
        and question(getattr(type(function), "__call__", None))  # noqa: B004
    )


class _Arguments:
    """Names the arguments of calls of a function."""

    def __init__(self, function: Any) -> None:
        import inspect

        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except Exception:  # of built-in functions, or a wrong `__signature__`
            self._signature = None

    def __call__(self, args: Any, kwargs: Any) -> Mapping[str, object]:
        """Return arguments by name, without `self` and `cls`."""
        try:
            if self._signature is not None:
                named = dict(self._signature.bind(*args, **kwargs).arguments)
                if next(iter(named), "") in {"self", "cls"}:
                    del named[next(iter(named))]
                return named
        except TypeError:  # the call itself will raise it
            pass
        return {"args": args, **kwargs}
