"""One block that is entered several times: each entry is a call of its own."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack
from typing import Any

import pytest

import semloop
from semloop.agent.call_block import CallBlock
from semloop.agent.session import Session
from semloop.agent.tool import Tool
from tests.sdk.recorded_events import Recorded

THREADS = 8


def calls_by_arguments(recorded: Recorded) -> dict[Any, dict[str, Any]]:
    """The recorded calls; of each the result, and the arguments of its parent."""
    own = {e["meta"]["span_id"]: e["payload"].get("arguments") for e in recorded.events}
    assert len(own) == len(recorded.events)
    return {
        _key(event["payload"].get("arguments")): {
            "result": event["payload"].get("result"),
            "parent": _key(own.get(event["meta"].get("parent_span_id"))),
        }
        for event in recorded.events
    }


def _key(arguments: Any) -> Any:
    return tuple(arguments) if isinstance(arguments, list) else arguments


def set_result(block: Tool, result: object) -> None:
    block.result = result


def test_threads_in_one_block_record_a_call_each() -> None:
    recorded = Recorded()
    block = recorded.session.tool("search")
    all_inside = threading.Barrier(THREADS)
    started_s = time.perf_counter()

    def search(thread: int) -> None:
        with block as outer:
            block.arguments = [thread]
            all_inside.wait()
            with block:
                block.arguments = [thread, "inner"]
                all_inside.wait()
                set_result(block, f"inner of {thread}")
                all_inside.wait()
            set_result(block, f"outer of {thread}")
            assert block.span_id == outer.span_id
            all_inside.wait()

    threads = [threading.Thread(target=search, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_ms = (time.perf_counter() - started_s) * 1000
    assert calls_by_arguments(recorded) == {
        (n,): {"result": f"outer of {n}", "parent": None} for n in range(THREADS)
    } | {
        (n, "inner"): {"result": f"inner of {n}", "parent": (n,)}
        for n in range(THREADS)
    }
    assert all(0 <= p["duration_ms"] <= took_ms for p in recorded.payloads)


def test_tasks_in_one_block_record_a_call_each() -> None:
    recorded = Recorded()
    block = recorded.session.tool("search")

    async def main() -> None:
        all_inside = asyncio.Barrier(THREADS)

        async def search(task: int) -> None:
            async with block as call:
                block.arguments = [task]
                await all_inside.wait()
                await asyncio.to_thread(set_result, block, f"result of {task}")
                await all_inside.wait()
                assert call.result == f"result of {task}"

        await asyncio.gather(*(search(task) for task in range(THREADS)))

    asyncio.run(main())
    assert calls_by_arguments(recorded) == {
        (n,): {"result": f"result of {n}", "parent": None} for n in range(THREADS)
    }


def test_generators_in_one_block_record_a_call_each() -> None:
    recorded = Recorded()
    block = recorded.session.tool("search")

    def numbers(name: str) -> Generator[int]:
        with block:
            block.arguments = name
            yield 1
            block.result = f"result of {name}"
            yield 2

    async def later(name: str) -> AsyncGenerator[int]:
        async with block:
            block.arguments = name
            yield 1
            block.result = f"result of {name}"
            yield 2

    async def main() -> None:
        first, second = later("c"), later("d")
        for _ in range(2):
            assert await anext(first) == await anext(second)
        for running in (first, second):
            assert await anext(running, "end") == "end"

    assert list(zip(numbers("a"), numbers("b"), strict=True)) == [(1, 1), (2, 2)]
    asyncio.run(main())
    found = {name: c["result"] for name, c in calls_by_arguments(recorded).items()}
    assert found == {name: f"result of {name}" for name in "abcd"}


def test_a_block_that_is_nested_in_itself_records_its_depth() -> None:
    recorded = Recorded()
    block = recorded.session.tool("descend")

    def descend(depth: int) -> None:
        with block as call:
            call.arguments = depth
            if depth:
                descend(depth - 1)
            block.result = f"left {depth}"

    descend(5)
    assert calls_by_arguments(recorded) == {
        depth: {"result": f"left {depth}", "parent": depth + 1 if depth < 5 else None}
        for depth in range(6)
    }


def test_a_block_can_be_used_again_and_does_not_keep_what_was_set() -> None:
    recorded = Recorded()
    block = recorded.session.tool("search", "given")
    assert block.arguments == "given"
    block.call_id = "c-1"  # is for the next call
    with block:
        block.result = 1
    first = block.span_id
    assert (block.result, block.call_id) == (1, "c-1")
    with pytest.raises(KeyError), block:
        raise KeyError
    with block as call:
        pass
    assert first is not None
    assert first != call.span_id
    for payload in recorded.payloads:
        del payload["duration_ms"]
    common = {"tool": "search", "arguments": "given"}
    assert recorded.payloads == [
        common | {"status": "success", "result": 1, "call_id": "c-1"},
        common | {"status": "error", "error_type": "KeyError", "result": ""},
        common | {"status": "success"},
    ]


def test_a_block_may_be_left_elsewhere_than_it_was_entered() -> None:
    recorded = Recorded()
    block = recorded.session.tool("search")
    in_thread = threading.Thread(target=block.__enter__)
    in_thread.start()
    in_thread.join()
    block.result = "set by a callback"
    block.__exit__(None, None, None)
    block.__exit__(None, None, None)  # left twice: there is nothing to record
    with ExitStack() as stack:
        stack.enter_context(block).result = "set in a stack"
    assert [p["result"] for p in recorded.payloads] == [
        "set by a callback", "set in a stack",
    ]  # fmt: skip


def test_a_call_outside_sessions_does_not_change_those_in_a_session() -> None:
    recorded = Recorded()
    block = semloop.tool("search")
    is_outside, is_inside = threading.Event(), threading.Event()

    def search() -> None:
        with block:
            is_outside.set()
            is_inside.wait()
            block.result = "of no session"

    thread = threading.Thread(target=search)
    thread.start()
    is_outside.wait()
    with recorded.session, block:
        block.result = "of the session"
        is_inside.set()
        thread.join()
    assert recorded.call()["result"] == "of the session"


def test_a_call_cannot_be_entered() -> None:
    with Recorded().session.tool("search") as call:
        again: Any = call
        with pytest.raises(TypeError, match="context manager"), again:
            pass


def test_decorated_functions_record_threads_and_recursion() -> None:
    recorded = Recorded()
    session: Session = recorded.session
    all_started = threading.Barrier(THREADS)

    @session.tool
    def fibonacci(n: int, thread: int) -> int:
        if n == 4:
            all_started.wait()
        if n < 2:
            return n
        return fibonacci(n - 1, thread) + fibonacci(n - 2, thread)

    @session.tool
    def countdown(n: int, thread: int) -> Generator[int]:
        yield n
        if n:
            yield from countdown(n - 1, thread)

    def work(thread: int) -> None:
        assert fibonacci(4, thread) == 3
        assert list(countdown(3, thread)) == [3, 2, 1, 0]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for running in threads:
        running.start()
    for running in threads:
        running.join()
    calls = {e["meta"]["span_id"]: e for e in recorded.events}
    assert len(calls) == THREADS * (9 + 4)
    for event in calls.values():
        own, parent_id = event["payload"], event["meta"].get("parent_span_id")
        n, thread = own["arguments"]["n"], own["arguments"]["thread"]
        if own["tool"] == "countdown":
            assert own["result"] == list(range(n, -1, -1))
        else:
            assert own["result"] == [0, 1, 1, 2, 3][n]
        if parent_id is None:
            assert n == (4 if own["tool"] == "fibonacci" else 3)
            continue
        parent = calls[parent_id]["payload"]
        assert (parent["tool"], parent["arguments"]["thread"]) == (own["tool"], thread)
        assert parent["arguments"]["n"] - n in {1, 2}
        assert parent["duration_ms"] >= own["duration_ms"]


def test_generators_that_enter_a_block_by_a_stack_record_their_own_calls() -> None:
    recorded = Recorded()
    block = recorded.session.tool("search")

    def search(number: int) -> Generator[None, None, None]:
        with ExitStack() as stack:
            stack.enter_context(block).arguments = [number]
            yield
            block.result = number
            yield

    searches = [search(number) for number in range(3)]
    for _ in range(2):
        for each in searches:
            next(each)
    with pytest.raises(ValueError, match="failed"):
        searches[0].throw(ValueError("failed"))
    for each in searches[1:]:
        each.close()
    assert {k: v["result"] for k, v in calls_by_arguments(recorded).items()} == {
        (number,): number for number in range(3)
    }
    failed = [p["arguments"] for p in recorded.payloads if p["status"] == "error"]
    assert failed == [[0]]


def test_attributes_of_a_call_can_be_found_on_the_class() -> None:
    assert hasattr(Tool, "result")
    assert hasattr(CallBlock, "result")
