"""`with Agent(...)`, `async with Agent(...)` and `agent.stats()`."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from semloop.agent.agent import Agent
from semloop.agent.closing import flush_in_thread
from semloop.settings import Settings
from tests.sdk.sent_events import sent
from tests.support.services import free_port


@pytest.fixture
def own(settings: Settings, tmp_path: object) -> Settings:
    """Settings with a separate spool per test."""
    return settings.replace(spool=f"{tmp_path}/spool", agent_flush_s=60.0)


def test_a_block_ends_when_the_broker_has_its_events(own: Settings) -> None:
    with Agent("tester", settings=own) as agent:
        agent.session("s-1").message("user", "hi")
    stats = agent.stats()
    assert (stats.emitted, stats.delivered, stats.waiting) == (1, 1, 0)
    assert (stats.dropped, stats.refused, stats.broker_available) == ({}, 0, True)
    assert [event["type"] for event in sent(own)] == ["message"]
    agent.session("s-1").message("user", "after the block")
    assert agent.flush(60)


def test_an_error_leaves_the_block_after_its_events_were_sent(own: Settings) -> None:
    agent = Agent("tester", settings=own)
    with pytest.raises(KeyError), agent, agent.session("s-1"):
        raise KeyError
    assert agent.stats().delivered == 2
    assert [event["type"] for event in sent(own)] == ["error", "completion"]


def test_without_a_broker_a_block_ends_in_time_and_events_wait(own: Settings) -> None:
    absent = own.replace(kafka=f"127.0.0.1:{free_port()}", agent_flush_s=0.05)
    with Agent("tester", settings=absent) as agent:
        agent.session("s-1").message("user", "hi")
        agent.session("s-1").message("robot", "hi")  # type: ignore[arg-type]
    stats = agent.stats()
    assert (stats.emitted, stats.delivered, stats.waiting) == (1, 0, 1)
    assert stats.refused == agent.dropped == 1
    assert stats.broker_available is not True


def test_an_async_block_ends_when_the_broker_has_its_events(own: Settings) -> None:
    async def main() -> Agent:
        async with Agent("tester", settings=own) as agent:
            agent.session("s-1").message("user", "hi")
        return agent

    assert asyncio.run(main()).stats().delivered == 1


class Flush:
    """A flush that ends when `finish` is set."""

    def __init__(self) -> None:
        self.started, self.finish = threading.Event(), threading.Event()

    def __call__(self, timeout_s: float) -> bool:
        self.started.set()
        return self.finish.wait(60)


def run_alongside(flush: Flush, then: Callable[[asyncio.Task[bool]], object]) -> bool:
    """Wait for a flush while the event loop does something else."""

    async def main() -> bool:
        task = asyncio.create_task(flush_in_thread(flush, 5.0))
        while not flush.started.is_set():
            await asyncio.sleep(0)
        assert not task.done()
        then(task)
        return await task

    return asyncio.run(main())


def test_the_event_loop_runs_on_during_a_flush() -> None:
    flush = Flush()
    assert run_alongside(flush, lambda _: flush.finish.set()) is True


def test_a_task_can_be_cancelled_during_a_flush() -> None:
    flush = Flush()
    with pytest.raises(asyncio.CancelledError):
        run_alongside(flush, lambda task: task.cancel())
    flush.finish.set()


def test_a_flush_that_fails_does_not_make_its_task_wait() -> None:
    def fail(timeout_s: float) -> bool:
        raise OSError(timeout_s)

    assert asyncio.run(flush_in_thread(fail, 5.0)) is False


def test_without_an_event_loop_a_flush_blocks() -> None:
    flush = Flush()
    flush.finish.set()
    with pytest.raises(StopIteration) as stopped:
        flush_in_thread(flush, 5.0).send(None)
    assert stopped.value.value is True
