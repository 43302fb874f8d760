"""A project folder in which `semloop` runs as a user runs it."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import psutil

from semloop.command.stack.process import Process
from semloop.command.stack.state import LocalFolder, Stack
from semloop.local.marks import MARK
from tests.support.builders import an_event
from tests.support.commands import execute
from tests.support.processes import start_in

# Commands that start processes or flows, and so need a process of their own.
STARTING = {"up", "run"}


class Project:
    """A folder with a lake in `.semloop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = folder / ".semloop"
        self.local = LocalFolder(self.lake / "_local")

    def run(self, *arguments: str, code: int = 0) -> str:
        """Return the output of a command, which must exit with this code.

        Commands that start nothing run in the process of the test.
        """
        environ = {"SEMLOOP_EMBEDDER": "hashing"}
        if arguments[0] in STARTING:
            with start_in(self.folder, *arguments, **environ) as process:
                out, err = process.communicate(timeout=120)
            found = process.returncode
        else:
            with contextlib.chdir(self.folder):
                found, out, err = execute(environ, *arguments)
        assert found == code, f"{arguments}\n{out}\n{err}"
        return str(out + err)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--format", "json"))

    def import_events(self, count: int) -> None:
        """Put events into the topic of the project's stack."""
        lines = [json.dumps(an_event()) + "\n" for _ in range(count)]
        (self.folder / "events.jsonl").write_text("".join(lines))
        self.run("import", "events.jsonl", "--format", "events")

    def events(self) -> int:
        (row,) = self.json("sql", "SELECT count(*) AS n FROM events")
        return int(row["n"])

    def events_after_a_start(self) -> int:
        """Start the broker, and store all that it holds; return the number of events."""
        self.run("up", "--broker-only")
        self.run("run", "archive", "--until-caught-up")
        return self.events()

    def copy(self, name: str = "copy") -> "Project":
        """Copy the folder next to the original, as `cp -r` does."""
        target = self.folder.with_name(name)
        shutil.copytree(self.folder, target, symlinks=True)
        return Project(target)

    def stack(self) -> Stack:
        stack = self.local.read()
        assert stack is not None
        return stack

    def processes(self) -> list[Process]:
        """Return the supervisor, the flows and the broker of the running stack."""
        stack = self.stack()
        return [stack.supervisor(), *stack.children()]

    def runs(self) -> bool:
        """Return True if all processes of the stack run."""
        if not self.local.is_locked() or self.local.read() is None:
            return False
        return all(process.find() for process in self.processes())


def gone(processes: list[Process]) -> bool:
    return not any(process.find() for process in processes)


def stop_all(folder: Path) -> None:
    """Kill what runs for lakes below a folder, the supervisors first."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except psutil.Error:
            continue
        if MARK in environ and environ.get("SEMLOOP_LAKE", "").startswith(str(folder)):
            found.append((not environ[MARK].endswith("/supervisor"), process))
    for _, process in sorted(found, key=lambda pair: pair[0]):
        process.kill()
    psutil.wait_procs([process for _, process in found], timeout=60)
