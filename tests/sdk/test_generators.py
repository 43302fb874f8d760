"""`@s.tool` on generators and coroutines: recorded at their end, and unchanged."""

import asyncio
import functools
import gc
import inspect
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest

from tests.sdk.recorded_events import Recorded


def returning(function: Callable[[int], Any]) -> Callable[[int], Any]:
    """Return a function of no special kind that returns what the given one returns."""

    def plain(n: int) -> Any:
        return function(n)

    return plain


def chunks(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"chunk {number}"


def test_a_generator_is_recorded_when_it_is_used_up() -> None:
    recorded = Recorded()
    tool = recorded.session.tool(chunks)
    assert inspect.isgeneratorfunction(tool)
    running = tool(2)
    assert next(running) == "chunk 0"
    assert recorded.payloads == []
    assert list(running) == ["chunk 1"]
    assert recorded.call() == {
        "tool": "chunks", "status": "success", "arguments": {"count": 2},
        "result": ["chunk 0", "chunk 1"],
    }  # fmt: skip


@pytest.mark.parametrize("wrap", [lambda f: f, returning, functools.partial])
def test_a_generator_that_fails_is_recorded_with_what_it_gave(wrap: Any) -> None:
    def failing(n: int) -> Iterator[int]:
        yield n
        message = "broke off"
        raise ValueError(message)

    recorded = Recorded()
    with pytest.raises(ValueError, match="broke off"):
        list(recorded.session.tool("stream")(wrap(failing))(7))
    payload = recorded.call()
    assert (payload["status"], payload["error_type"]) == ("error", "ValueError")
    assert payload["result"] == {"yielded": [7], "error": "broke off"}


def test_a_generator_keeps_its_protocol() -> None:
    log: list[object] = []

    def answering() -> Generator[object, object, str]:
        try:
            log.append((yield "first"))
            try:
                yield "second"
            except KeyError as error:
                log.append(type(error))
            yield "third"
        finally:
            log.append("closed")
        return "returned"

    def used(make: Callable[[], Generator[object, object, str]]) -> list[object]:
        log.clear()
        running = make()
        seen = [next(running), running.send("sent"), running.throw(KeyError())]
        with pytest.raises(StopIteration) as stopped:
            running.send(None)
        return [*seen, stopped.value.value, *log]

    recorded = Recorded()
    tool = recorded.session.tool(answering)
    assert used(tool) == used(answering)
    assert recorded.call()["result"] == {
        "yielded": ["first", "second", "third"], "returned": "returned",
    }  # fmt: skip
    closed = tool()
    next(closed)
    closed.close()
    assert log[-1] == "closed"
    assert recorded.payloads[1]["ended"] == "closed"


def test_a_generator_that_is_dropped_is_closed_and_recorded() -> None:
    recorded = Recorded()
    for value in recorded.session.tool(chunks)(9):
        assert value == "chunk 0"
        break
    gc.collect()
    payload = recorded.call()
    assert (payload["status"], payload["ended"]) == ("success", "closed")
    assert payload["result"] == ["chunk 0"]


def test_values_that_are_changed_after_they_were_yielded_are_recorded_as_yielded() -> (
    None
):
    def reusing() -> Iterator[list[float]]:
        buffer = [float("nan")]
        for number in range(3):
            buffer.append(number)
            yield buffer

    recorded = Recorded()
    for _ in recorded.session.tool(reusing)():
        pass
    payload = recorded.call()
    assert payload["result"] == [[None, 0], [None, 0, 1], [None, 0, 1, 2]]
    assert payload["semloop_notes"][0] == "result.0.0: NaN became null"


def test_an_endless_generator_keeps_what_fits_into_an_event() -> None:
    def endless() -> Generator[bytes]:
        while True:
            yield b"x" * 200_000

    recorded = Recorded()
    running = recorded.session.tool(endless)()
    for _ in range(1_000):
        next(running)
    running.close()
    payload = recorded.call()
    assert 10 < len(payload["result"]) < 30
    assert any("of 1,000 values" in note for note in payload["semloop_notes"])


async def ticks(count: int) -> AsyncGenerator[int, object]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


class AsyncTools:
    async def __call__(self, n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n


async def double_later(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


@pytest.mark.parametrize(
    "function",
    [
        double_later,
        functools.partial(double_later),
        AsyncTools(),
        returning(double_later),
    ],
    ids=["function", "partial", "object", "returning"],
)
def test_a_coroutine_is_recorded_when_it_was_awaited(
    function: Callable[[int], Awaitable[int]],
) -> None:
    recorded = Recorded()
    running = recorded.session.tool("double")(function)(2)
    assert recorded.payloads == []

    async def main() -> int:
        return await running

    assert asyncio.run(main()) == 4
    assert recorded.call() == {
        "tool": "double", "status": "success", "arguments": {"n": 2}, "result": 4,
    }  # fmt: skip


@pytest.mark.parametrize("wrap", [lambda f: f, returning])
def test_an_async_generator_is_recorded_when_it_is_used_up(wrap: Any) -> None:
    recorded = Recorded()
    tool = recorded.session.tool("ticks")(wrap(ticks))

    async def main() -> list[int]:
        return [number async for number in tool(3)]

    assert asyncio.run(main()) == [0, 1, 2]
    assert recorded.call()["result"] == [0, 1, 2]
    assert inspect.isasyncgenfunction(recorded.session.tool(ticks))


def test_an_async_generator_keeps_its_protocol() -> None:
    log: list[object] = []

    async def answering() -> AsyncGenerator[object, object]:
        try:
            log.append((yield "first"))
            try:
                yield "second"
            except KeyError as error:
                log.append(type(error))
            yield "third"
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def used(make: Callable[[], AsyncGenerator[object, object]]) -> list[object]:
        log.clear()
        running = make()
        seen = [await anext(running), await running.asend("sent")]
        seen.append(await running.athrow(KeyError()))
        await running.aclose()
        return [*seen, *log]

    recorded = Recorded()
    tool = recorded.session.tool(answering)
    assert asyncio.run(used(tool)) == asyncio.run(used(answering))
    assert recorded.call() == {
        "tool": "answering", "status": "success", "arguments": {},
        "result": ["first", "second", "third"], "ended": "closed",
    }  # fmt: skip


def test_a_generator_that_can_be_awaited_still_can() -> None:
    @types.coroutine
    def answer() -> Generator[None, None, int]:
        yield
        return 42

    def returning_it() -> Awaitable[int]:
        return answer()

    async def main(tool: Callable[[], Awaitable[int]]) -> int:
        return await tool()

    recorded = Recorded()
    for function in (answer, returning_it):
        assert asyncio.run(main(recorded.session.tool(function))) == 42
