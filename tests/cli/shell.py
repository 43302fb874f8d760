"""Runs `semloop` and a local stack in a separate folder, as a user does."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from semloop.command.stack.process import Process
from semloop.command.stack.state import LocalFolder, Stack
from tests.support.builders import an_event
from tests.support.commands import execute
from tests.support.processes import start_in
from tests.support.services import wait_for

# Commands that start processes or flows, and so need a process of their own.
STARTING = {"up", "run"}


class Shell:
    """Runs commands in a folder of its own, as a user would.

    The folder is the working folder of the test.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = folder / "lake"
        self.local = LocalFolder(self.lake / "_local")
        self.settings = {
            "SEMLOOP_LAKE": "lake",
            # A flow that was taken over detects it quickly, and rows are soon there.
            "SEMLOOP_FENCE_CHECK_S": "0.3",
            "SEMLOOP_COMMIT_INTERVAL_S": "0.2",
            # No model: these tests check processes and rows.
            "SEMLOOP_EMBEDDER": "hashing",
        }

    def start(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        return start_in(self.folder, *arguments, **self.settings | environ)

    def run(self, *arguments: str, code: int = 0, **environ: str) -> str:
        """Return the output of a command, which must exit with this code.

        Commands that start nothing run in the process of the test. As processes, they
        run in `tests/documents/test_local_stack.py`.
        """
        if arguments[0] in STARTING:
            with self.start(*arguments, **environ) as process:
                out, err = process.communicate(timeout=90)
            found = process.returncode
        else:
            assert self.folder == Path.cwd()
            found, out, err = execute(self.settings | environ, *arguments)
        assert found == code, f"{arguments}\n{out}\n{err}"
        return out + err

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--format", "json"))

    def stack(self) -> Stack:
        stack = self.local.read()
        assert stack is not None
        return stack

    def processes(self) -> list[psutil.Process]:
        """Return the running ones of supervisor, broker and flows."""
        stack = self.local.read()
        if stack is None:
            return []
        processes = [Process(stack.pid, stack.create_time), *stack.children()]
        return [found for p in processes if (found := p.find()) is not None]

    def has_processes(self, count: int) -> Callable[[], bool]:
        """Return a condition: this number of `processes` run."""
        return lambda: len(self.processes()) == count

    def write_events(self, count: int) -> None:
        events = [an_event(meta={"session_id": f"s-{n % 5}"}) for n in range(count)]
        lines = "".join(json.dumps(event) + "\n" for event in events)
        (self.folder / "events.jsonl").write_text(lines)

    def import_(self) -> str:
        return self.run("import", "events.jsonl", "--format", "events")


def gone(processes: list[psutil.Process]) -> bool:
    """Return True if none of the processes runs."""
    return not any(p.is_running() and p.status() != "zombie" for p in processes)


def wait_for_end(processes: list[psutil.Process]) -> None:
    """Wait until none of the processes runs."""
    wait_for("the end of the processes", lambda: gone(processes))
