"""Faults of a laptop: each strikes a local stack, lasts a while, and ends."""

import math
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.storm.local_stack import LocalStack, send, wait_until
from tests.storm.wall_clock import WallClock

DAY_S = 86_400
PROCESSES = ("supervisor", "broker", "archive", "memory", "index")
KILL_EVERY_S = 0.5
INDEX_STARTS_S = 40.0
FILLED_SLOWLY_BYTES = 4 * 2**20


@dataclass
class Scene:
    """What faults act on.

    disk: a file system of limited size that has the project; None if there is no such disk.
    clock: None without a C compiler.
    clock_set_s: when the clock was set last, by `time.monotonic`.
    """

    stack: LocalStack
    rng: random.Random
    disk: Path | None = None
    clock: WallClock | None = None
    clock_set_s: float = -math.inf

    @property
    def offset_s(self) -> int:
        """How far the clock is ahead."""
        return self.clock.offset_s if self.clock else 0


def kill(scene: Scene, *names: str) -> None:
    """Kill processes at the same time."""
    if "index" in names:
        wait_until(INDEX_STARTS_S, lambda: scene.stack.pids("index"))
    found = [(p.name, p.pid) for p in scene.stack.processes() if p.name in names]
    # The supervisor first: it would start the others again.
    send(signal.SIGKILL, [pid for _, pid in sorted(found, reverse=True)])


@contextmanager
def killed(scene: Scene, *names: str) -> Iterator[None]:
    """Kill processes once; what they had to do is done again meanwhile."""
    kill(scene, *names)
    yield


@contextmanager
def suspended(scene: Scene) -> Iterator[None]:
    """Close the laptop: all stops, and the wall clock advances by ten minutes."""
    scene.stack.send(signal.SIGSTOP, agent=True)
    # A process that was about to start another one has done so.
    scene.stack.send(signal.SIGSTOP, agent=True)
    try:
        yield
    finally:
        if scene.clock is not None:
            scene.clock.add(600)
        scene.stack.send(signal.SIGCONT, agent=True)


@contextmanager
def hung(scene: Scene, name: str) -> Iterator[None]:
    """Suspend one process."""
    pids = scene.stack.pids(name)
    send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        send(signal.SIGCONT, pids)


@contextmanager
def disk_full(scene: Scene) -> Iterator[None]:
    """Fill the disk of the project to the last byte."""
    assert scene.disk is not None
    ballast = scene.disk / "ballast"
    free = os.statvfs(scene.disk)
    # Others write meanwhile, so the last blocks are written until none is left.
    size = free.f_bavail * free.f_bsize - FILLED_SLOWLY_BYTES
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        if size > 0:
            os.posix_fallocate(file.fileno(), 0, size)
        file.seek(0, os.SEEK_END)
        while True:
            file.write(b"x" * free.f_bsize)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def port_taken(scene: Scene) -> Iterator[None]:
    """Let another server take the port of the broker while that is down."""
    stack = scene.stack
    (broker,) = [p for p in stack.processes() if p.name == "broker"]
    address = _address_of(stack)
    supervisor = stack.pids("supervisor")
    send(signal.SIGSTOP, supervisor)
    send(signal.SIGKILL, [broker.pid])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _retry(lambda: other.bind(address))
        if scene.rng.random() < 0.5:
            other.listen()
        send(signal.SIGCONT, supervisor)
        yield


@contextmanager
def clock_changed(scene: Scene, seconds: int) -> Iterator[None]:
    """Set the clock, for good."""
    assert scene.clock is not None
    scene.clock.add(seconds)
    yield


@contextmanager
def crash_loop(scene: Scene, name: str) -> Iterator[None]:
    """Kill a process for a while whenever it has been started again."""
    stop = time.monotonic() + scene.rng.uniform(5, 20)
    while time.monotonic() < stop:
        kill(scene, name)
        time.sleep(KILL_EVERY_S)
    yield


def _address_of(stack: LocalStack) -> tuple[str, int]:
    found = next(p for p in stack.processes() if p.name == "archive")
    host, _, port = found.environ["SEMLOOP_KAFKA"].rpartition(":")
    return host, int(port)


def _retry(action: Callable[[], None]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            return action()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
