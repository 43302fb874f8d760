"""Processes of a schedule: threads of which one runs at a time, by choice.

A process can be stopped before and after each of its requests, for any time, and killed
there. So a schedule is determined by its choices alone.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from semloop.errors import (
    MemoriesSwitched,
    StorageUnavailable,
    TakenOver,
    Terminal,
    TopicChanged,
)
from tests.simulation.choices import Choices
from tests.simulation.store import Requests

START_S = 1_800_000_000.0
HOUR_S = 3_600.0
# Steps during which a stopped process does not run.
PAUSES = (0, 3, 10, 30, 100)
# Hours that pass at a request, and that a machine's clock is off.
PASSING_H = (0.1, 1.0, 7.0, 13.0, 26.0)
FROZEN_H = (7.0, 13.0, 26.0)
FROZEN_STEPS = 150
OFF_H = (0.0, 0.0, -30.0, -2.0, 1.0, 30.0)
ENDS = (TakenOver, StorageUnavailable, TopicChanged, MemoriesSwitched)


class Killed(BaseException):
    """The process died; a BaseException, so that no handler catches it."""


class Process:
    """One process; `run` is what it does."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self.name = name
        self.off_h = 0.0
        self.wakes_at = 0
        self.ended = False
        self.dying = False
        self.error: BaseException | None = None
        self._turn = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._main, args=(run,), daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Let it run until it yields or ends."""
        self._turn.release()
        self._done.acquire()

    def yield_(self) -> None:
        """Stop, by the process itself, until it is resumed."""
        self._done.release()
        self._turn.acquire()
        if self.dying:
            raise Killed

    def kill(self) -> None:
        """End it where it stopped."""
        self.dying = True
        while not self.ended:
            self.resume()
        self._thread.join()

    def _main(self, run: Callable[[], None]) -> None:
        self._turn.acquire()
        try:
            if not self.dying:
                run()
        except BaseException as error:
            self.error = error
        finally:
            self.ended = True
            self._done.release()


class Chances(NamedTuple):
    """Chances at each request: to stop, to die, to fail, to lose the reply.

    `freeze`: to stop for hours, right before a log entry is put.
    """

    switch: float = 0.12
    kill: float = 0.008
    refuse: float = 0.01
    lose: float = 0.02
    pass_hours: float = 0.004
    freeze: float = 0.01


class Scheduler(Requests):
    """Decides at each request which process runs, and what goes wrong."""

    def __init__(self, choices: Choices, chances: Chances) -> None:
        self.choices = choices
        self.chances = chances
        self.seen: Counter[str] = Counter()
        self.processes: list[Process] = []
        self.current: Process | None = None
        self.errors: list[str] = []
        self.steps = 0
        self._passed_s = 0.0

    def start(self, name: str, run: Callable[[], None]) -> Process:
        """Add a process; it runs when it is chosen."""
        process = Process(name, run)
        process.off_h = self.choices.one_of(OFF_H)
        self.processes.append(process)
        return process

    def run_one(self) -> None:
        """Choose a process and let it run until it stops or ends."""
        awake = [p for p in self.processes if p.wakes_at <= self.steps]
        if not awake:
            self.steps = min((p.wakes_at for p in self.processes), default=self.steps)
            return
        process = self.current = self.choices.one_of(awake)
        process.resume()
        self.current = None
        if process.ended:
            self.processes.remove(process)
            self._judge(process)

    def end(self) -> None:
        """Kill all processes."""
        for process in self.processes:
            self.current = process
            process.kill()
        self.processes, self.current = [], None

    def machine_s(self) -> float:
        return self.store_s() + (self.current.off_h * HOUR_S if self.current else 0.0)

    def store_s(self) -> float:
        return START_S + self._passed_s + self.steps * 0.01

    def pass_hours(self, hours: float) -> None:
        self._passed_s += hours * HOUR_S

    def before(self, kind: str, name: str) -> None:
        if not self._step():
            return
        if kind == "put" and "_delta_log" in name:
            self._freeze()
        if self.choices.occurs(self.chances.refuse):
            self.seen["requests refused"] += 1
            msg = "503 Service Unavailable"
            raise OSError(msg)

    def after(self, kind: str, name: str) -> None:
        if not self._step() or not self.choices.occurs(self.chances.lose):
            return
        self.seen["replies lost"] += 1
        if kind == "create" and self.choices.one_of([True, False]):
            raise FileExistsError(name)  # The client has repeated the request.
        msg = "error sending request"
        raise OSError(msg)

    def _step(self) -> bool:
        """Perhaps stop the current process; False if no process runs."""
        process = self.current
        if process is None:
            return False
        if process.dying:
            raise Killed
        self.steps += 1
        choices = self.choices
        if choices.occurs(self.chances.kill):
            self.seen["kills"] += 1
            process.dying = True
            raise Killed
        if choices.occurs(self.chances.switch):
            process.wakes_at = self.steps + choices.one_of(PAUSES)
            process.yield_()
        if choices.occurs(self.chances.pass_hours):
            self.seen["hours passed"] += 1
            self.pass_hours(choices.one_of(PASSING_H))
            process.off_h = choices.one_of((process.off_h, *OFF_H))
        return True

    def _freeze(self) -> None:
        """Perhaps stop the current process for hours, while others run."""
        process = self.current
        if process is not None and self.choices.occurs(self.chances.freeze):
            self.seen["freezes"] += 1
            self.pass_hours(self.choices.one_of(FROZEN_H))
            process.wakes_at = self.steps + FROZEN_STEPS
            process.yield_()

    def _judge(self, process: Process) -> None:
        """Keep an error that no process may end with."""
        error = process.error
        if error is None:
            return
        self.seen[type(error).__name__] += 1
        # Terminal itself is that of a rebuild which has to be run again.
        if not isinstance(error, (*ENDS, Killed)) and type(error) is not Terminal:
            self.errors.append(f"{process.name}: {type(error).__name__}: {error}")
