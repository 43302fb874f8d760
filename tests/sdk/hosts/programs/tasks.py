"""Tasks are cancelled, generators abandoned, threads used from an event loop."""

import asyncio
from collections.abc import AsyncIterator

from tests.sdk.hosts.host import agent, emit, pause, rng, session


async def endless() -> AsyncIterator[int]:
    """Emit at each step; never end."""
    async with session():
        while True:
            emit()
            yield 1
            await asyncio.sleep(0)


async def cancelled() -> None:
    """Emit until cancelled."""
    try:
        async with session(), session().tool("wait"):
            while True:
                emit()
                await asyncio.sleep(0.001)
    finally:
        emit()


async def abandons() -> None:
    """Take one value of a generator."""
    async for _ in endless():
        return


async def main() -> None:
    tasks = [asyncio.create_task(cancelled()) for _ in range(10)]
    await asyncio.gather(*(abandons() for _ in range(10)))
    await asyncio.gather(*(asyncio.to_thread(emit) for _ in range(20)))
    await asyncio.sleep(rng.random() * 0.1)
    for task in tasks[:5]:
        task.cancel()
    await asyncio.to_thread(agent().flush, 0.1)
    with_timeout = asyncio.wait_for(cancelled(), 0.05)
    await asyncio.gather(with_timeout, return_exceptions=True)
    emit()


asyncio.run(main())
pause(0.05)
