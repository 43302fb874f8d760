"""Kill or freeze a flow at each named fail-point, and compare all that was produced.

`just chaos --kills 1000 --folder F` continues where a run with the
same folder stopped. The rarest fail-point is next, so all are hit equally often. A process
is a fork that has imported the flow, so a kill costs less than a second of CPU.
"""

import json
import os
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings, load
from tests.storm.fail_points import FAIL_POINTS, FailPoint
from tests.storm.points_audit import EVENTS, problems, produce
from tests.storm.scheduled import MAINTENANCE, STREAMING
from tests.support.services import EmbeddedBroker

FROZEN_SHARE = 0.25
AUDIT_EVERY = 25
# The exit of a copy that was taken over, and of a flow that ends with an error.
ERROR = 1


@dataclass
class State:
    """What the runs in a folder have done; stored after each round."""

    seed: int
    rounds: int = 0
    produced: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    freezes: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, file: Path, seed: int) -> "State":
        """Read a folder's state, or begin with a seed."""
        if not file.exists():
            return cls(seed)
        stored = json.loads(file.read_text())
        state = cls(stored["seed"], stored["rounds"], stored["produced"])
        state.hits, state.freezes, state.missed = (
            Counter(stored[name]) for name in ("hits", "freezes", "missed")
        )
        return state


def in_child(task: Callable[[], object], log: Path) -> int:
    """Start a task in a fork; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 0
    try:
        # What libraries print must not mix with the progress of this run.
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        task()
    except BaseException:
        traceback.print_exc()
        code = ERROR
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    """Wait for the end of a child: its exit code, or a negative signal.

    -SIGSTOP: it has frozen itself.
    """
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return -signal.SIGSTOP
    return os.waitstatus_to_exitcode(status)


class Points:
    """The rounds of a run."""

    def __init__(self, folder: Path, state: State, settings: Settings) -> None:
        self._folder, self.state, self._settings = folder, state, settings
        self._origins = folder / "origins.jsonl"

    def round(self, name: str) -> None:
        """Produce, run the flows that come before, and end one at a fail-point."""
        state, point = self.state, FAIL_POINTS[name]
        rng = random.Random(f"{state.seed}/{state.rounds}")
        state.rounds += 1
        self.complete(lambda: produce(self._settings, self._origins))
        state.produced += EVENTS
        for flow in STREAMING:
            if flow == point.flow:
                break
            self.complete(lambda flow=flow: STREAMING[flow](self._settings))  # type: ignore[misc]
        if rng.random() < FROZEN_SHARE:
            self._freeze(name, point)
        else:
            end = wait(self._start(point, signal.SIGKILL))
            (state.hits if end == -signal.SIGKILL else state.missed)[name] += 1
        file = self._folder / "state.json"
        file.with_suffix(".new").write_text(json.dumps(vars(state)))
        file.with_suffix(".new").replace(file)

    def audit(self) -> Iterator[str]:
        """Let the flows catch up, and yield what is lost, duplicated or wrong."""
        for flow in (*STREAMING, *MAINTENANCE):
            run = {**STREAMING, **MAINTENANCE}[flow]
            self.complete(lambda run=run: run(self._settings))  # type: ignore[misc]
        found = self._folder / "problems.json"
        self.complete(
            lambda: found.write_text(
                json.dumps(list(problems(self._settings, self._origins)))
            )
        )
        yield from json.loads(found.read_text())

    def _freeze(self, name: str, point: FailPoint) -> None:
        """Freeze a copy, let another one do all of its work, and continue the first."""
        pid = self._start(point, signal.SIGSTOP)
        end = wait(pid)
        if end != -signal.SIGSTOP:
            self.state.missed[name] += 1
            return
        run = {**STREAMING, **MAINTENANCE}[point.flow]
        try:
            self.complete(lambda: run(self._settings))
        finally:
            os.kill(pid, signal.SIGCONT)
            wait(pid)  # taken over, or with nothing left to do
        self.state.freezes[name] += 1

    def _start(self, point: FailPoint, ends_with: signal.Signals) -> int:
        run = {**STREAMING, **MAINTENANCE}[point.flow]

        def armed() -> None:
            point.arm(ends_with)
            run(self._settings)

        return in_child(armed, self._folder / "flows.log")

    def complete(self, task: Callable[[], object]) -> None:
        """Run a task in a fork, to its end."""
        log = self._folder / "flows.log"
        code = wait(in_child(task, log))
        if code:
            msg = f"A flow that nothing disturbs ends with {code}: see {log}."
            raise RuntimeError(msg)


def points(kills: int, seed: int | None, folder: Path | None) -> NoReturn:
    """End flows at named fail-points, and compare events, memories and episodes.

    Exits with 1 if anything is lost, duplicated or wrong.

    Args:
        kills: how many there are to be, with those of earlier runs of the folder.
        seed: of a new folder; None: a random one.
        folder: None: a new one.
    """
    seed = random.randrange(10**6) if seed is None else seed
    folder = folder or Path(tempfile.mkdtemp(prefix=f"points-{seed}-"))
    folder.mkdir(exist_ok=True)
    state = State.of(folder / "state.json", seed)
    print(f"seed {state.seed}, {folder}", flush=True)
    broker = EmbeddedBroker(folder)
    wrong: list[str] = []
    try:
        settings = load(
            {}, lake=str(folder / "lake"), kafka=broker.address, topic="points",
            embedder="hashing", retention={"dead_letters": 2.0},
        )  # fmt: skip
        run = Points(folder, state, settings)
        run.complete(lambda: TopicAdmin(settings).ensure())
        while state.hits.total() < kills and not wrong:
            name = min(FAIL_POINTS, key=lambda n: (state.hits[n] + state.missed[n], n))
            run.round(name)
            if state.rounds % AUDIT_EVERY == 0:
                wrong += run.audit()
                print(f"{state.hits.total()} kills, {wrong or 'clean'}", flush=True)
        wrong += run.audit() if not wrong else []
    finally:
        broker.kill()
    word = "NOT CLEAN" if wrong else "clean"
    counts = f"{state.hits.total()} kills, {state.freezes.total()} freezes"
    print(f"{word}: seed {state.seed}, {counts}, {state.produced:,} records")
    for name in FAIL_POINTS:
        print(f"  {name}: {state.hits[name]}, {state.freezes[name]} frozen")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)
