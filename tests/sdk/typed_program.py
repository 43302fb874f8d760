"""A user's program that mypy checks; `test_types.py` compares what it reveals."""

from collections.abc import AsyncIterator, Iterator
from typing import reveal_type

import semloop
from semloop import Agent, feedback

agent = Agent("typed", namespace="n", strict=True)


@semloop.tool
def search(to: str, *, limit: int = 5) -> list[str]:
    return [to] * limit


@agent.tool("fetch page")
async def fetch(url: str) -> bytes:
    return url.encode()


@agent.tool
def chunks(count: int) -> Iterator[str]:
    yield str(count)


@semloop.tool
async def later(count: int) -> AsyncIterator[int]:
    yield count


class Tools:
    @agent.tool
    def method(self, n: int) -> int:
        return n

    @semloop.tool
    @classmethod
    def of_class(cls, n: int) -> int:
        return n

    @staticmethod
    @semloop.tool
    def static(n: int) -> int:
        return n


reveal_type(search)  # def (to: str, *, limit: int =) -> list[str]
reveal_type(fetch)  # def (url: str) -> Coroutine[Any, Any, bytes]
reveal_type(chunks)  # def (count: int) -> Iterator[str]
reveal_type(later)  # def (count: int) -> AsyncIterator[int]
reveal_type(Tools().method(1))  # int
reveal_type(Tools.of_class(1))  # int
reveal_type(Tools.static(1))  # int
search(7)  # E: Argument 1 to "search" has incompatible type "int"; expected "str"

with Agent("block") as block:
    reveal_type(block)  # Agent
with agent.session("s-1", task="t", tags=["a"], metadata={"plan": "free"}) as s:
    reveal_type(s)  # Session
    reveal_type(s.id)  # str

    @s.tool
    def double(n: int) -> int:
        return 2 * n

    reveal_type(double)  # def (n: int) -> int
    with s.tool("search", {"to": "OSL"}) as call:
        reveal_type(call)  # Call
        call.result = ["SK 1472"]
        call.status = "error"
        call.credits_used = 0.5
        call.metadata = {"cache": "hit"}
        reveal_type(call.status)  # Literal['error']
        reveal_type(call.span_id)  # str | None
        call.status = "failed"  # E: Incompatible types in assignment (expression has type "Literal['failed']", variable has type "Literal['success', 'error'] | None")
        call.results = 1  # E: "Call" has no attribute "results"
        call.name = "other"  # E: Property "name" defined in "Call" is read-only
    search_block = s.tool("search")
    with search_block:
        reveal_type(search_block.span_id)  # str | None
        reveal_type(search_block.credits_used)  # float | None
        search_block.status = "error"
        search_block.results = 1  # E: "Tool" has no attribute "results"
        search_block.status = "failed"  # E: Incompatible types in assignment
    reveal_type(s.message("user", "hi", metadata={"turn": 1}))  # str
    s.message("robot", "hi")  # E: Argument 1 to "message" of "Session"
    s.complete("success", reward=1.0)
    s.metadata = {}  # E: "Session" has no attribute "metadata"

reveal_type(agent.stats().delivered)  # int
reveal_type(agent.stats().dropped)  # Mapping[str, int]
reveal_type(agent.stats().broker_available)  # bool | None
agent.stats().emitted = 1  # E: Property "emitted" defined in "Stats" is read-only
agent.name = "other"  # E: Property "name" defined in "Agent" is read-only
reveal_type(agent.flush(1.0))  # bool
reveal_type(feedback("s-1", "helpful", 1.0, metadata={"via": "mail"}))  # str


async def main() -> None:
    async with agent, agent.session() as a:
        reveal_type(a)  # Session
        async with a.tool("search") as call:
            reveal_type(call)  # Call
        reveal_type(await fetch("x"))  # bytes
        async for n in later(3):
            reveal_type(n)  # int
