"""Runs all agents of the demo concurrently, each in a thread with several sessions."""

import threading
from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import Self

from semloop.agent.agent import Agent
from semloop.command.demo.agents import AGENTS, seeded_random, work
from semloop.errors import BrokerUnavailable
from semloop.settings import Settings

SESSIONS_OPEN = 4
# Events of an average session, to estimate how many the open sessions will produce.
SESSION_EVENTS = 6
# An agent waits for the broker after this many events, which it buffers in memory.
FLUSH_EVENTS = 2_000
FLUSH_TIMEOUT_S = 60.0


class Worker(threading.Thread):
    """One agent and its share of the events."""

    def __init__(
        self, name: str, events: int, settings: Settings, stopped: threading.Event
    ) -> None:
        # A daemon thread, so that an interrupted demo ends immediately.
        super().__init__(name=name, daemon=True)
        self._agent = Agent(name, settings=settings)
        self._events = events
        self._stopped = stopped
        self.produced = 0
        self.sessions = 0
        self.error: Exception | None = None

    def run(self) -> None:
        """Run sessions until the share is produced; store an error in `error`."""
        try:
            self._work()
            self._wait_for_broker()
        except Exception as error:
            self.error = error

    def _work(self) -> None:
        random = seeded_random(self.name)
        numbers = count(1)
        # Sessions overlap, as they do in production.
        opened: list[Iterator[str]] = []
        while True:
            while len(opened) < SESSIONS_OPEN and self._left(len(opened)) > 0:
                self.sessions += 1
                opened.append(work(self._agent, f"{self.name}-{next(numbers):04}"))
            if not opened or self._stopped.is_set():
                return
            session = random.choice(opened)
            if next(session, None) is None:
                opened.remove(session)
                continue
            self.produced += 1
            if self.produced % FLUSH_EVENTS == 0:
                self._wait_for_broker()

    def _left(self, opened: int) -> int:
        return self._events - self.produced - opened * SESSION_EVENTS

    def _wait_for_broker(self) -> None:
        flushed = self._stopped.is_set() or self._agent.flush(FLUSH_TIMEOUT_S)
        if not flushed or self._agent.dropped:
            msg = "The broker did not acknowledge all events within "
            msg += f"{FLUSH_TIMEOUT_S:g} s."
            raise BrokerUnavailable(msg, "Run the demo again with fewer --events.")


class Crowd:
    """The workers and their progress."""

    def __init__(self, settings: Settings, events: int) -> None:
        """Create the workers without starting them.

        Args:
            settings: the broker and the topic.
            events: approximate total; only whole sessions are produced.
        """
        self._stopped = threading.Event()
        shares = {name: events // len(AGENTS) for name in AGENTS}
        for name in AGENTS[: events % len(AGENTS)]:
            shares[name] += 1
        self._workers = [
            Worker(name, share, settings, self._stopped)
            for name, share in shares.items()
            if share
        ]

    def __enter__(self) -> Self:
        """Start all workers."""
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()

    @property
    def working(self) -> bool:
        """True while a worker runs.

        Raises:
            Exception: the error that ended a worker.
        """
        for worker in self._workers:
            if worker.error is not None:
                raise worker.error
        return any(worker.is_alive() for worker in self._workers)

    @property
    def agents(self) -> int:
        """Number of agents."""
        return len(self._workers)

    @property
    def produced(self) -> int:
        """Events produced."""
        return sum(worker.produced for worker in self._workers)

    @property
    def sessions(self) -> int:
        """Sessions started."""
        return sum(worker.sessions for worker in self._workers)
