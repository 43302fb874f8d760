"""Commands that `up` runs at intervals."""

import sys
from pathlib import Path

import pytest

from semloop.command.stack.scheduled_command import ScheduledCommand
from semloop.settings import load
from tests.support.services import wait_for


def scheduled(folder: Path, every_s: float) -> ScheduledCommand:
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
    command = [sys.executable, "-c", code, str(folder / "ran")]
    return ScheduledCommand(command, folder / "log", {}, every_s)


@pytest.mark.process
def test_a_command_is_run_again_and_again(tmp_path: Path) -> None:
    command = scheduled(tmp_path, 0.01)
    for _ in range(2):

        def ran() -> bool:
            command.poll()
            return (tmp_path / "ran").exists()

        wait_for("a run", ran)
        (tmp_path / "ran").unlink()
    command.stop()


def test_compaction_is_not_run_by_default(tmp_path: Path) -> None:
    every_s = load({}).commits.compact_every_s
    command = scheduled(tmp_path, every_s)
    assert every_s == 0
    assert command.poll() == ""
    assert command._process is None
