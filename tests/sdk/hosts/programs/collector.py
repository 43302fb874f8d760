"""The garbage collector runs at every allocation; what it finalises emits."""

import contextlib
import gc
import threading
import weakref
from collections.abc import Generator

from tests.sdk.hosts.host import agent, emit, rng, session


class Node:
    """Part of a cycle; emits when it is collected."""

    def __init__(self) -> None:
        self.itself = self
        self.generator = steps()
        next(self.generator)

    def __del__(self) -> None:
        emit()
        agent().flush(0)


def steps() -> Generator[int]:
    """Emit when closed."""
    try:
        with session().tool("steps") as call:
            call.result = rng.random()
            yield 1
    finally:
        emit()


def on_collection(_: str, __: dict[str, int]) -> None:
    """Wait for a thread that emits: the collector runs while no lock is held."""
    if len(waited) < WAITS and rng.random() < 0.01:
        waited.append(True)
        thread = threading.Thread(target=emit)
        thread.start()
        thread.join()


def work() -> None:
    """Make garbage and emit."""
    for _ in range(40):
        node = Node()
        references.append(weakref.ref(node, lambda _: emit()))
        del node
        emit()


WAITS = 30
waited: list[bool] = []
references: list[weakref.ref[Node]] = []
emit()
gc.callbacks.append(on_collection)
gc.set_threshold(1, 1, 1)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
work()
for thread in threads:
    thread.join()
with contextlib.closing(steps()) as generator:
    next(generator)
gc.set_threshold(700)
gc.callbacks.clear()
gc.collect()
