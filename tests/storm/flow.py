"""A flow that is killed repeatedly, and restarted as a supervisor would."""

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
from tests.storm.trace import Trace
from tests.support import processes

# Exit code of a flow that was taken over: a fencing bug, since no other copy runs.
TAKEN_OVER = 3


@dataclass
class Memory:
    """Resident memory of one set of processes: (age in seconds, total MiB)."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def lifetime_s(self) -> float:
        return self.samples[-1][0] - self.samples[0][0] if self.samples else 0.0


class RestartedFlow:
    """`semloop run archive`, restarted after each exit, with the times of its commits.

    Times are wall-clock seconds from the flow's log lines, since a line may be read
    long after it was written.
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
        """Start the flow, and read its log in a thread."""
        self._process = processes.start(
            self._settings, *self._arguments, SEMLOOP_LOG_FORMAT="json"
        )
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stderr,), daemon=True
        )
        self._reader.start()
        self._trace.add("start", pid=self._process.pid)

    def kill(self, choose: Any) -> float:
        """Send SIGKILL to the process or one of its members; return the time."""
        assert self._process is not None
        family = self._family()
        # A supervisor has no data, so only its members are worth killing.
        victim = choose(family[1:] or family)
        killed_s = time.time()
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        self._trace.add("kill", target="flow", pid=victim.pid)
        return killed_s

    def poll(self) -> None:
        """Restart the flow if it exited; otherwise sample its memory."""
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
        rss_bytes = 0
        for member in family:
            with contextlib.suppress(psutil.Error):
                rss_bytes += member.memory_info().rss
        age = time.monotonic() - self._started_s
        self.lives[-1].samples.append((age, rss_bytes / 2**20))

    def stop(self) -> None:
        """Stop the flow with SIGTERM, as an operator would."""
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

    def first_start_after(self, after_s: float) -> float | None:
        """Time at which a process of the flow next logged `started`."""
        return _first(self.starts, after_s)

    def first_commit_after(self, after_s: float) -> float | None:
        """Time at which the flow next logged `committed`."""
        return _first(self.commits, after_s)

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
                self._trace.add("output", line=line.rstrip())
                continue
            if logged["event"] == "committed":
                self.commits.append(at)
                continue
            if logged["event"] == "started":
                self.starts.append(at)
            self._trace.add("logged", line=line.rstrip())


def _first(times: Sequence[float], after_s: float) -> float | None:
    # Lines of several processes, and from before and after a restart, are only nearly
    # ordered.
    return min((at for at in times if at > after_s), default=None)
