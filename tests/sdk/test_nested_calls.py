"""Ids of tool calls, and of the calls around them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

import semloop
from tests.sdk.recorded_events import Recorded


@semloop.tool
def double(n: int) -> int:
    """Double a number."""
    return 2 * n


@semloop.tool
def half(n: int) -> float:
    return n / 2


def test_nested_calls_and_their_events_carry_the_id_of_the_outer_call() -> None:
    recorded = Recorded()
    s = recorded.session
    with s, s.tool("outer") as outer:
        double(1)
        with s.tool("middle") as middle:
            s.message("assistant", "hi")
            s.tool_call("inner")
    s.message("user", "bye")
    assert recorded.span_of("outer") == (outer.span_id, None)
    assert recorded.span_of("double")[1] == outer.span_id
    assert recorded.span_of("middle") == (middle.span_id, outer.span_id)
    assert recorded.span_of("inner")[1] == middle.span_id
    assert len({e["meta"].get("span_id") for e in recorded.events}) == 5
    messages = [e["meta"] for e in recorded.events if e["type"] == "message"]
    assert [m.get("parent_span_id") for m in messages] == [middle.span_id, None]


@pytest.mark.parametrize(
    ("meta", "is_linked"),
    [({}, True), ({"user_id": "u-2"}, False), ({"namespace": "other"}, False)],
)
def test_a_session_in_a_call_refers_to_it_within_namespace_and_user(
    meta: dict[str, object], is_linked: bool
) -> None:
    common = {"user_id": "u-1", "namespace": "n"}
    outer, inner = Recorded(**common), Recorded(**common | meta)
    with outer.session.tool("delegate") as call, inner.session:
        double(1)
        inner.session.complete()
    found = [event["meta"].get("parent_span_id") for event in inner.events]
    assert found == [call.span_id if is_linked else None] * 2


def test_what_a_consumer_calls_is_not_nested_in_a_generator() -> None:
    recorded = Recorded()

    @semloop.tool
    def numbers(n: int) -> Iterator[int]:
        for number in range(n):
            yield double(number)

    @semloop.tool
    async def later(n: int) -> AsyncIterator[int]:
        for number in range(n):
            half(number)
            yield number

    async def main() -> None:
        async for number in later(1):
            with semloop.tool("consumer of later", number):
                pass

    with recorded.session:
        for number in numbers(1):
            with semloop.tool("consumer", number):
                pass
        asyncio.run(main())
    spans = {name: recorded.span_of(name) for name in set(recorded.tools)}
    assert spans["double"][1] == spans["numbers"][0]
    assert spans["half"][1] == spans["later"][0]
    for name in ("consumer", "consumer of later", "numbers", "later"):
        assert spans[name][1] is None
