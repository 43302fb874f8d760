"""All agents of the demo at once, each in a thread, with several sessions open."""

import threading
from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import Self

from semloop.agent.agent import Agent
from semloop.command.demo.agents import AGENTS, dice_of, work
from semloop.errors import BrokerUnavailable
from semloop.settings import Settings

SESSIONS_OPEN = 4
# What a session has on average: so nobody opens one for events that are underway.
SESSION_EVENTS = 6
# Then an agent waits for the broker: what it is ahead of it is held in memory.
AHEAD_EVENTS = 2_000
BROKER_TAKES_S = 60.0


class Worker(threading.Thread):
    """One agent and its share of the events."""

    def __init__(
        self, name: str, events: int, settings: Settings, stopped: threading.Event
    ) -> None:
        # A daemon: who interrupts the demo does not wait for the rest of the work.
        super().__init__(name=name, daemon=True)
        self._agent = Agent(name, settings=settings)
        self._events = events
        self._stopped = stopped
        self.produced = 0
        self.sessions = 0
        self.error: Exception | None = None

    def run(self) -> None:
        """Work until the share is produced; an error is kept for who looks."""
        try:
            self._work()
            self._wait_for_broker()
        except Exception as error:
            self.error = error

    def _work(self) -> None:
        dice = dice_of(self.name)
        numbers = count(1)
        # Sessions end in the middle of others, as they do where agents really work.
        opened: list[Iterator[str]] = []
        while True:
            while len(opened) < SESSIONS_OPEN and self._left(len(opened)) > 0:
                self.sessions += 1
                opened.append(work(self._agent, f"{self.name}-{next(numbers):04}"))
            if not opened or self._stopped.is_set():
                return
            session = dice.choice(opened)
            if next(session, None) is None:
                opened.remove(session)
                continue
            self.produced += 1
            if self.produced % AHEAD_EVENTS == 0:
                self._wait_for_broker()

    def _left(self, opened: int) -> int:
        return self._events - self.produced - opened * SESSION_EVENTS

    def _wait_for_broker(self) -> None:
        taken = self._stopped.is_set() or self._agent.flush(BROKER_TAKES_S)
        if not taken or self._agent.dropped:
            msg = f"The broker did not take all events within {BROKER_TAKES_S:g} s."
            raise BrokerUnavailable(msg, "Run the demo again with fewer --events.")


class Crowd:
    """The workers, and how far they are."""

    def __init__(self, settings: Settings, events: int) -> None:
        """Nobody works yet.

        Args:
            settings: the broker and the topic.
            events: how many there should be about; only whole sessions are produced.
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
        """Let all of them work."""
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
        """Whether anybody still does.

        Raises:
            Exception: what ended one of them.
        """
        for worker in self._workers:
            if worker.error is not None:
                raise worker.error
        return any(worker.is_alive() for worker in self._workers)

    @property
    def agents(self) -> int:
        """How many agents there are."""
        return len(self._workers)

    @property
    def produced(self) -> int:
        """Events so far."""
        return sum(worker.produced for worker in self._workers)

    @property
    def sessions(self) -> int:
        """Sessions so far."""
        return sum(worker.sessions for worker in self._workers)
