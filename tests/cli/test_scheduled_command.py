"""Commands that `up` runs at intervals."""

import os
import re
import sys
import time
from pathlib import Path

import pytest

from semloop.command.stack.scheduled_command import (
    FIRST_S_MAX,
    NICENESS,
    ScheduledCommand,
)
from semloop.flow_registry import SCHEDULED
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


@pytest.mark.process
def test_an_error_is_reported_again_only_after_a_run_without_it(
    tmp_path: Path,
) -> None:
    codes = "import pathlib, sys; codes = pathlib.Path(sys.argv[1])\n"
    codes += (
        "rest = codes.read_text(); codes.write_text(rest[1:]); sys.exit(int(rest[0]))"
    )
    (tmp_path / "codes").write_text("1103")
    arguments = [sys.executable, "-c", codes, str(tmp_path / "codes")]
    command = ScheduledCommand(arguments, tmp_path / "log", {}, 0.01)
    reports = []

    def ended() -> bool:
        reports.append(command.poll())
        return not (command.runs or (tmp_path / "codes").read_text())

    wait_for("four runs", ended)
    command.stop()
    assert re.findall(r"exited with (\d)", "".join(reports)) == ["1", "3"]


@pytest.mark.process
def test_a_command_has_a_low_priority(tmp_path: Path) -> None:
    code = "import os, sys; sys.stdin = open(sys.argv[1]); input()\n"
    code += "print(os.getpriority(os.PRIO_PROCESS, 0), flush=True)"
    os.mkfifo(tmp_path / "go")
    arguments = [sys.executable, "-c", code, str(tmp_path / "go")]
    command = ScheduledCommand(arguments, tmp_path / "log", {}, 0.01)
    wait_for("the start", lambda: command.poll() or command.runs)
    (tmp_path / "go").write_text("go\n")
    wait_for("the end", lambda: command.poll() or not command.runs)
    command.stop()
    assert int((tmp_path / "log").read_text().split()[0]) >= NICENESS


@pytest.mark.parametrize("every_s", [0.0, 60.0])
def test_a_command_is_not_run_before_it_is_due(tmp_path: Path, every_s: float) -> None:
    command = scheduled(tmp_path, every_s)
    assert command.poll() == ""
    assert command._process is None


def test_tables_are_compacted_and_vacuumed_by_default() -> None:
    settings = load({})
    assert {settings.value(flow.every) > 0 for flow in SCHEDULED.values()} == {True}


def test_a_daily_command_runs_soon_after_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = scheduled(tmp_path, 86_400.0)
    later_s = time.monotonic() + FIRST_S_MAX
    monkeypatch.setattr("time.monotonic", lambda: later_s)
    assert command.poll() == ""
    assert command.runs
    command.stop()
