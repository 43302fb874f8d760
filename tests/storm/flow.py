"""A flow that is killed again and again, and started again as its operator would."""

import contextlib
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

import psutil

from semloop.settings import Settings
from tests import processes
from tests.storm.trace import Trace

# A flow that was taken over although nobody else runs has lost its own fence.
TAKEN_OVER = 3


@dataclass
class Memory:
    """Resident memory of the same processes: (age in seconds, MiB of all of them)."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def lived_s(self) -> float:
        return self.samples[-1][0] - self.samples[0][0] if self.samples else 0.0


class FlowUnderFire:
    """`semloop run archive`, kept running, with the moments of its commits.

    Moments are wall-clock seconds, as the flow's own log lines give them: a line may be
    read long after it was written.
    """

    def __init__(self, settings: Settings, processes: int, trace: Trace) -> None:
        self.starts: list[float] = []
        self.commits: list[float] = []
        self.exits: Counter[int] = Counter()
        self.lives: list[Memory] = []
        self._settings = settings
        self._arguments = ["run", "archive"]
        if processes > 1:
            self._arguments += ["--processes", str(processes)]
        self._trace = trace
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._pids: set[int] = set()
        self._started_s = 0.0

    def start(self) -> None:
        """Start it, and read what it says in a thread."""
        self._process = processes.start(
            self._settings, *self._arguments, SEMLOOP_LOG_FORMAT="json"
        )
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stderr,), daemon=True
        )
        self._reader.start()
        self._trace.add("start", pid=self._process.pid)

    def kill(self, choose: Any) -> float:
        """SIGKILL the process, or one of its members; gives the moment."""
        assert self._process is not None
        family = self._family()
        # A supervisor holds no data: its members are what a kill is about.
        victim = choose(family[1:] or family)
        moment = time.time()
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        self._trace.add("kill", whom="flow", pid=victim.pid)
        return moment

    def look(self) -> None:
        """Start it again if it ended, and note how much memory it holds."""
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            self.exits[code] += 1
            self._trace.add("exit", code=code)
            self.start()
            return
        family = self._family()
        pids = {member.pid for member in family}
        if pids != self._pids:
            self._pids, self._started_s = pids, time.monotonic()
            self.lives.append(Memory())
        bytes_held = 0
        for member in family:
            with contextlib.suppress(psutil.Error):
                bytes_held += member.memory_info().rss
        age = time.monotonic() - self._started_s
        self.lives[-1].samples.append((age, bytes_held / 2**20))

    def stop(self) -> None:
        """End it as its operator would, by SIGTERM."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            for member in self._family():
                with contextlib.suppress(psutil.Error):
                    member.kill()
            self._process.wait()
        if self._reader:
            self._reader.join(10)

    def first_start_after(self, moment: float) -> float | None:
        """When a process of the flow next said that it had started."""
        return _first(self.starts, moment)

    def first_commit_after(self, moment: float) -> float | None:
        """When the flow next said that it had committed."""
        return _first(self.commits, moment)

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            try:
                logged = json.loads(line)
                at = datetime.fromisoformat(logged["timestamp"]).timestamp()
            except (ValueError, KeyError, TypeError):
                self._trace.add("said", line=line.rstrip())
                continue
            if logged["event"] == "committed":
                self.commits.append(at)
                continue
            if logged["event"] == "started":
                self.starts.append(at)
            self._trace.add("logged", line=line.rstrip())


def _first(moments: Sequence[float], after: float) -> float | None:
    # Lines of several processes, and of two lives, are only nearly in order.
    return min((at for at in moments if at > after), default=None)
