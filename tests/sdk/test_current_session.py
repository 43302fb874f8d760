"""Tools that find the session of the current context."""

import asyncio
import contextvars
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

import semloop
from semloop.agent import tool as tools
from semloop.agent.agent import Agent
from semloop.agent.current import DEPTH_MAX, current_session, scopes
from semloop.settings import Settings
from tests.sdk.recorded_events import Recorded


@semloop.tool
def double(n: int) -> int:
    """Double a number."""
    return 2 * n


@semloop.tool("half of")
def half(n: int) -> float:
    return n / 2


def test_a_tool_finds_the_session_whose_block_is_around_its_call() -> None:
    outer, inner = Recorded(), Recorded()
    with outer.session:
        assert double(2) == 4
        with inner.session:
            assert half(3) == 1.5
            with semloop.tool("block", {"a": 1}) as call:
                call.result = 5
        assert double(3) == 6
    assert outer.tools == ["double", "double"]
    assert inner.tools == ["half of", "block"]
    assert inner.payloads[1]["arguments"] == {"a": 1}


def test_a_call_in_a_block_of_a_tool_is_of_the_same_session() -> None:
    recorded = Recorded()
    with recorded.session.tool("outer"):
        double(2)
    assert recorded.tools == ["double", "outer"]


@pytest.fixture
def no_session_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of a process that has not called a tool without a session."""
    monkeypatch.setattr(tools, "_logged", set())


@pytest.mark.usefixtures("no_session_logged")
def test_without_a_session_tools_work_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @semloop.tool
    def numbers(n: int) -> Iterator[int]:
        yield from range(n)

    @semloop.tool
    async def later(n: int) -> int:
        return n

    def fail() -> None:
        raise KeyError

    with caplog.at_level(logging.WARNING):
        assert double(2) == 4
        assert list(numbers(3)) == [0, 1, 2]
        assert asyncio.run(later(7)) == 7
        with semloop.tool("block") as call:
            call.result = 1
        with pytest.raises(KeyError):
            semloop.tool(fail)()
    [line] = [record.getMessage() for record in caplog.records]
    assert "not recorded" in line


def test_a_tool_of_an_agent_prefers_a_session_of_its_agent(settings: Settings) -> None:
    agent = Agent("own", settings=settings)
    own, other = Recorded(), Recorded()
    own.session._recorder.agent = agent

    @agent.tool
    def search(to: str) -> str:
        return to

    with own.session, other.session:
        search("OSL")
        with agent.tool("block"):
            pass
        double(1)
    with other.session:
        search("BGO")
    assert own.tools == ["search", "block"]
    assert other.tools == ["double", "search"]


def test_threads_find_it_in_a_copied_context_only() -> None:
    recorded = Recorded()
    with recorded.session:
        context = contextvars.copy_context()
        for target in (double, lambda n: context.run(double, n)):
            thread = threading.Thread(target=target, args=(4,))
            thread.start()
            thread.join()

        async def main() -> int:
            return await asyncio.to_thread(double, 8)

        asyncio.run(main())
    assert [p["arguments"] for p in recorded.payloads] == [{"n": 4}, {"n": 8}]


def test_each_task_has_its_own_session_and_keeps_it() -> None:
    both = [Recorded(), Recorded()]

    @semloop.tool
    async def echo(n: int, sent: asyncio.Event, other: asyncio.Event) -> int:
        sent.set()
        await other.wait()
        return double(n)

    async def main() -> None:
        events = asyncio.Event(), asyncio.Event()
        done = asyncio.Event()

        async def background(n: int) -> None:
            await done.wait()
            half(n)

        async def work(n: int) -> asyncio.Task[None]:
            async with both[n].session:
                started = asyncio.create_task(background(n))
                await echo(n, events[n], events[1 - n])
            return started

        tasks = await asyncio.gather(work(0), work(1))
        done.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    for number, recorded in enumerate(both):
        # The background task continues in the session in which it was started.
        assert recorded.tools == ["double", "echo", "half of"]
        assert recorded.payloads[0]["arguments"] == {"n": number}
        echoed = recorded.span_of("echo")[0]
        assert recorded.span_of("double")[1] == echoed
        assert recorded.span_of("half of")[1] is None


def generator_of(recorded: Recorded, name: str) -> Generator[str, None, None]:
    """Yield within a block of a session, and of a call."""
    with recorded.session, recorded.session.tool(name):
        yield "first"
        yield "second"


def test_generators_leave_their_blocks_in_any_order_and_context() -> None:
    outer, a, b = Recorded(), Recorded(), Recorded()
    with outer.session:
        first, second = generator_of(a, "a"), generator_of(b, "b")
        next(first), next(second)
        first.close()
        double(1)  # b's block is the innermost: generators share the context
        contextvars.copy_context().run(second.close)
        double(2)
        thread_s = generator_of(a, "thread")
        next(thread_s)
        thread = threading.Thread(target=thread_s.close)
        thread.start()
        thread.join()
        double(3)
        abandoned = generator_of(a, "abandoned")
        next(abandoned)
        del abandoned
        gc.collect()
        double(4)
    assert current_session() is None
    assert a.tools == ["a", "thread", "abandoned"]
    assert b.tools == ["double", "b"]
    assert [p["arguments"]["n"] for p in outer.payloads] == [2, 3, 4]


def test_an_async_generator_that_the_loop_closes_raises_nothing() -> None:
    recorded = Recorded()
    problems: list[dict[str, Any]] = []

    async def chunks() -> AsyncIterator[int]:
        async with recorded.session, recorded.session.tool("chunks"):
            yield 1
            yield 2

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, problem: problems.append(problem)
        )
        async for _ in chunks():
            break  # the loop closes the generator in a task of its own
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert recorded.call() == {"tool": "chunks", "status": "success", "ended": "closed"}
    assert problems == []


def test_blocks_of_one_call_in_two_threads_leave_nothing_behind() -> None:
    recorded = Recorded()
    call = recorded.session.tool("shared")
    other_is_in, other_may_leave = threading.Event(), threading.Event()
    found: list[object] = []

    def other() -> None:
        with call:
            other_is_in.set()
            other_may_leave.wait(60)
        found.append(current_session())

    with call:
        thread = threading.Thread(target=other)
        thread.start()
        assert other_is_in.wait(60)
    other_may_leave.set()
    thread.join()
    assert [*found, current_session()] == [None, None]


def test_tasks_that_start_each_other_do_not_keep_all_earlier_sessions() -> None:
    recorded = Recorded()

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async def work(left: int) -> None:
            async with recorded.session:
                if left:
                    tasks.append(asyncio.create_task(work(left - 1)))
                else:
                    assert len(list(scopes())) <= DEPTH_MAX
                    double(1)

        await work(3 * DEPTH_MAX)
        for task in tasks:
            await task

    asyncio.run(main())
    assert recorded.tools == ["double"]


@pytest.mark.parametrize("leave", [lambda s: s.__exit__(None, None, None)])
def test_a_session_that_is_left_too_often_raises_nothing(
    leave: Callable[[Any], None],
) -> None:
    recorded = Recorded()
    with recorded.session, recorded.session:
        leave(recorded.session)
        assert current_session() is not None
    leave(recorded.session)
    assert current_session() is None
