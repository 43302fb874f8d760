"""`@s.tool` on callables of every kind: recorded, and otherwise unchanged."""

import asyncio
import functools
import inspect
from collections.abc import Callable

import pytest

from tests.sdk.recorded_events import Recorded

CALL = {"tool": "double", "status": "success", "arguments": {"n": 2}, "result": 4}


def double(n: int) -> int:
    """Double a number."""
    return 2 * n


class Doubler:
    """Methods and instances that double a number."""

    def double(self, n: int) -> int:
        return 2 * n

    @classmethod
    def of_class(cls, n: int) -> int:
        return 2 * n

    @staticmethod
    def static(n: int) -> int:
        return 2 * n

    def __call__(self, n: int) -> int:
        return 2 * n


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (double, "double"),
        (functools.partial(double), "double"),
        (functools.partial(functools.partial(double)), "double"),
        (Doubler().double, "double"),
        (Doubler.of_class, "of_class"),
        (Doubler.static, "static"),
        (Doubler(), "Doubler"),
        (lambda n: 2 * n, "<lambda>"),
    ],
    ids=[
        "function",
        "partial",
        "partials",
        "method",
        "class",
        "static",
        "object",
        "lambda",
    ],
)
def test_a_callable_of_any_kind_is_a_tool(
    function: Callable[[int], int], name: str
) -> None:
    recorded = Recorded()
    tool = recorded.session.tool(function)
    assert tool(2) == 4
    assert recorded.call() == CALL | {"tool": name}
    assert tool.__name__ == name
    assert inspect.signature(tool) == inspect.signature(function)


def test_methods_can_be_decorated_in_their_class() -> None:
    recorded = Recorded()
    tool = recorded.session.tool

    class Tools:
        @tool
        def own(self, n: int) -> int:
            return 2 * n

        @tool
        @classmethod
        def of_class(cls, n: int) -> int:
            return 2 * n

        @staticmethod
        @tool
        def static(n: int) -> int:
            return 2 * n

    tools = Tools()
    assert [tools.own(2), tools.of_class(2), Tools.static(2)] == [4, 4, 4]
    for payload, name in zip(
        recorded.payloads, ("own", "of_class", "static"), strict=True
    ):
        del payload["duration_ms"]
        assert payload == CALL | {"tool": name}


def test_a_call_with_wrong_arguments_is_recorded_as_its_error() -> None:
    recorded = Recorded()
    with pytest.raises(TypeError, match="missing 1 required"):
        recorded.session.tool(double)()  # type: ignore[call-arg]
    payload = recorded.call()
    assert (payload["status"], payload["error_type"]) == ("error", "TypeError")


class Unprintable(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


@pytest.mark.parametrize("value", [Unprintable(), float("nan"), "\ud83d", object()])
def test_a_tool_returns_its_own_result(value: object) -> None:
    recorded = Recorded()
    assert recorded.session.tool("t")(lambda: value)() is value
    assert recorded.call()["status"] == "success"


def test_a_tool_raises_its_own_error() -> None:
    recorded = Recorded()
    error = Unprintable()

    def fail() -> None:
        raise error

    with pytest.raises(Unprintable) as raised:
        recorded.session.tool(fail)()
    assert raised.value is error
    payload = recorded.call()
    assert (payload["status"], payload["error_type"]) == ("error", "Unprintable")
    with pytest.raises(Unprintable), recorded.session:
        raise error
    assert recorded.payloads[1]["message"] == payload["result"]


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (GeneratorExit(), "closed"),
        (asyncio.CancelledError(), "cancelled"),
        (SystemExit(0), "exit"),
        (SystemExit(), "exit"),
        (SystemExit(3), None),
        (KeyboardInterrupt(), None),
        (ValueError(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_ordinary_end_is_no_failure(error: BaseException, ended: str | None) -> None:
    recorded = Recorded()
    with pytest.raises(type(error)), recorded.session as s, s.tool("t"):
        raise error
    if ended is None:
        assert recorded.kinds == ["tool_call", "error", "completion"]
        assert recorded.payloads[0]["status"] == "error"
    else:
        payload = recorded.call()
        assert payload == {"tool": "t", "status": "success", "ended": ended}


def test_a_cancelled_task_is_no_failure() -> None:
    recorded = Recorded()

    async def main() -> None:
        started = asyncio.Event()

        @recorded.session.tool
        async def wait() -> None:
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    payload = recorded.call()
    assert (payload["status"], payload["ended"]) == ("success", "cancelled")
