"""Waits for the broker without blocking an event loop."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress


async def flush_in_thread(flush: Callable[[float], bool], timeout_s: float) -> bool:
    """Call `flush` in a thread of its own; wait for it while the event loop runs.

    The threads of the loop's executor may all be busy with the host's work. Without a
    loop of asyncio, the call is made in this thread.
    """
    asyncio = sys.modules.get("asyncio")
    try:
        loop = asyncio.get_running_loop() if asyncio else None
    except RuntimeError:
        loop = None
    if loop is None:
        return flush(timeout_s)
    flushed = loop.create_future()

    def set_result(result: bool) -> None:
        if not flushed.done():  # the task may have been cancelled
            flushed.set_result(result)

    def wait() -> None:
        try:
            result = flush(timeout_s)
        except Exception:  # the task must not wait indefinitely
            result = False
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(set_result, result)

    try:
        threading.Thread(target=wait, name="semloop-flush", daemon=True).start()
    except RuntimeError:  # no more threads
        return False
    return bool(await flushed)
