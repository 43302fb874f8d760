"""Runs `semloop` in a separate folder, as a user does."""

import subprocess
from pathlib import Path

import psutil

from semloop.command.demo.folder import NAME
from tests.support.processes import start_in

# The demo of the quickstart.
DEMO = ("demo", "--events", "1000")


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = folder / NAME

    def start(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """Start `semloop ARGUMENTS` with pipes, 80 columns wide."""
        return start_in(self.folder, *arguments, **{"COLUMNS": "80"} | environ)

    def run(self, *arguments: str, code: int = 0, **environ: str) -> tuple[str, str]:
        """Return stdout and stderr of a command, which must end with this code."""
        with self.start(*arguments, **environ) as process:
            out, err = process.communicate(timeout=90)
        assert process.returncode == code, f"{arguments}\n{out}\n{err}"
        return out, err

    def running(self) -> list[psutil.Process]:
        """Return the processes in the demo's folder, such as its broker and flows."""
        return [p for p in psutil.process_iter() if _folder_of(p) == self.lake]


def _folder_of(process: psutil.Process) -> Path | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Path(process.cwd())
    except psutil.Error:
        return None
