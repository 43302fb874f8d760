"""A project folder with a stack of `semloop up` and an agent that emits all the time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from semloop.lake.lake import Lake
from semloop.local.identity import read_identity
from semloop.local.marks import Marked, marked_processes
from tests.support.processes import ROOT, start_in
from tests.support.services import wait_for

SETTINGS = {
    # Short, so that each round meets commits, compactions and the start of a run.
    "SEMLOOP_COMMIT_INTERVAL_S": "0.5",
    "SEMLOOP_INDEX_EVERY_S": "10",
    "SEMLOOP_FENCE_CHECK_S": "1",
    "SEMLOOP_EMBEDDER": "hashing",
}
COMMAND_S = 240.0


class LocalStack:
    """The stack, its agent, and what both have stored."""

    def __init__(
        self, folder: Path, outside: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            folder: of the project; its disk may be filled.
            outside: a folder on another disk, for the ids of the events.
            environ: more variables of all processes.
        """
        self.folder = folder
        self.lake = folder / ".semloop"
        self.ids_file = outside / "ids"
        self._environ = {
            **SETTINGS,
            "SEMLOOP_SPOOL": str(folder / "spool"),
            **(environ or {}),
        }
        self._agent: subprocess.Popen[str] | None = None

    def run(self, *arguments: str) -> tuple[int, str]:
        """Return the exit code of a command and all that it printed."""
        with start_in(self.folder, *arguments, **self._environ) as process:
            out, err = process.communicate(timeout=COMMAND_S)
        return process.returncode, out + err

    def start(self) -> None:
        """Start the stack and the agent."""
        code, output = self.run("up")
        assert code == 0, output
        self._agent = subprocess.Popen(
            [sys.executable, "-m", "tests.storm.emitting_agent", str(self.ids_file)],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | self._environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_for("the first event", lambda: self.ids_file.exists() and self.ids())

    def stop_agent(self) -> dict[str, Any]:
        """End the agent once the broker has its events; return its counts."""
        assert self._agent is not None
        self._agent.terminate()
        output, _ = self._agent.communicate(timeout=COMMAND_S)
        counts: dict[str, Any] = json.loads(output)
        return counts

    def ids(self) -> list[str]:
        """Return the ids of all events that were emitted so far."""
        return self.ids_file.read_text().split()

    def processes(self) -> list[Marked]:
        """Return the processes of the stack, each with its name."""
        identity = read_identity(self.lake / "_local")
        return marked_processes(identity.id) if identity else []

    def pids(self, name: str) -> list[int]:
        """Return the processes of this name: the supervisor, the broker or a flow."""
        return [process.pid for process in self.processes() if process.name == name]

    def send(self, number: signal.Signals, *, agent: bool = False) -> None:
        """Send a signal to all processes of the stack, and perhaps to the agent."""
        pids = [process.pid for process in self.processes()]
        if agent and self._agent is not None:
            pids.append(self._agent.pid)
        send(number, pids)

    def health(self) -> tuple[int, list[str]]:
        """Return the exit code of `semloop health`, and the codes that do not pass."""
        code, output = self.run("health", "--json")
        checks = json.loads(output) if output.startswith("[") else []
        bad = [c["code"] for c in checks if c["status"] in ("warn", "fail")]
        return code, bad or ([] if checks else [output.strip()[:200]])

    def has(self, event_id: str) -> bool:
        """Return True if an event, and a memory of it, can be queried."""
        query = f"""
            SELECT (SELECT count(*) FROM events WHERE event_id = '{event_id}')
            AND (SELECT count(*) FROM memories WHERE list_contains(event_ids, '{event_id}'))
        """
        with Lake(self.lake) as lake:
            found = lake.sql(query).fetchone()
        return bool(found and found[0])

    def end(self) -> None:
        """Kill what still runs, the supervisor first, because it restarts the others."""
        pids = [*self.pids("supervisor"), *(p.pid for p in self.processes())]
        send(signal.SIGKILL, pids)
        send(signal.SIGCONT, pids)
        if self._agent is not None:
            self._agent.kill()
            self._agent.communicate()
        wait_for("the end of all processes", lambda: not self.processes())


def send(number: signal.Signals, pids: list[int]) -> None:
    """Send a signal to processes, some of which may have ended."""
    for pid in pids:
        try:
            psutil.Process(pid).send_signal(number)
        except psutil.NoSuchProcess:
            continue


def wait_until(seconds: float, condition: Any) -> bool:
    """Poll a condition slowly; return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
