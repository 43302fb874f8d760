"""The units of `deploy/systemd`."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from semloop.errors import TakenOver
from semloop.flow_registry import SCHEDULED, STREAMING
from tests.deploy.program import accept, parse
from tests.support.processes import ROOT

UNITS = ROOT / "deploy/systemd"
PROGRAM = "/opt/semloop/bin/semloop"
COMMON = UNITS / "semloop-.service.d/common.conf"
STREAMING_UNITS = [f"semloop-flow@{name}.service" for name in STREAMING]
SCHEDULED_UNITS = [f"semloop-maintain@{name}.service" for name in SCHEDULED]
SERVICES = [*STREAMING_UNITS, *SCHEDULED_UNITS, "semloop-health.service"]
# `systemd-analyze security` rates a service from 0 (safe) to 10; x 10 here. What is
# left is the network, and the user's files of the lake.
EXPOSURE_MAX = 20


def values(file: Path, key: str) -> list[str]:
    """Return all values of a key of a unit, in order."""
    return re.findall(rf"^{key}=(.*)$", file.read_text(), re.MULTILINE)


def file_of(unit: str) -> Path:
    """Return the file of a unit, which for an instance may be its template."""
    own = UNITS / unit
    return own if own.exists() else UNITS / re.sub("@.*[.]", "@.", unit)


def command(unit: str) -> list[str]:
    """Return the command of a service."""
    (line,) = values(file_of(unit), "ExecStart")
    instance = unit.partition("@")[2].removesuffix(".service")
    return shlex.split(line.replace("%i", instance))


def test_the_target_wants_every_flow_and_a_timer_for_every_scheduled_one() -> None:
    timers = [f"semloop-maintain@{name}.timer" for name in SCHEDULED]
    wanted = {*STREAMING_UNITS, *timers, "semloop-health.timer"}
    assert set(values(UNITS / "semloop.target", "Wants")) == wanted
    found = {file.name for file in UNITS.glob("*.timer")}
    assert found == {*timers, "semloop-health.timer"}


def test_the_program_accepts_every_command() -> None:
    for unit in SERVICES:
        program, *arguments = command(unit)
        assert program == PROGRAM
        flow = re.sub(r".*@|semloop-|[.]service", "", unit)
        assert parse(["semloop", *arguments]) == flow


def test_the_program_accepts_every_setting_of_the_example() -> None:
    lines = (UNITS / "semloop.env.example").read_text().splitlines()
    prose = re.compile("# (?![A-Z_]+=)")
    settings = [line.removeprefix("# ") for line in lines if not prose.match(line)]
    environ = dict(line.split("=", 1) for line in settings)
    environ |= dict(
        part.split("=") for part in values(COMMON, "Environment")[0].split()
    )
    accept(environ)


def test_a_flow_that_was_taken_over_is_not_restarted() -> None:
    file = UNITS / "semloop-flow@.service"
    assert values(file, "Restart") == ["on-failure"]
    assert values(file, "RestartPreventExitStatus") == [str(TakenOver.exit_code)]


@pytest.fixture(scope="module")
def analyze(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str | Path]:
    """A root folder with the units and the program, and what analyzes it."""
    program = shutil.which("systemd-analyze")
    system = Path("/usr/lib/systemd/system")
    if program is None or not (system / "sysinit.target").exists():
        pytest.skip("systemd is not installed")
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(UNITS, root / "etc/systemd/system")
    shutil.copytree(system, root / str(system)[1:], symlinks=True)
    (root / PROGRAM[1:]).parent.mkdir(parents=True)
    (root / PROGRAM[1:]).touch(0o755)
    return [program, f"--root={root}"]


def run(
    analyze: Sequence[str | Path], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*analyze, *arguments],
        capture_output=True,
        text=True,
        # Without it systemd asks the terminal for its size.
        env={**os.environ, "COLUMNS": "200", "SYSTEMD_COLORS": "0"},
    )


@pytest.mark.process
def test_systemd_accepts_every_unit(analyze: Sequence[str | Path]) -> None:
    timers = [file.name for file in UNITS.glob("*.timer")]
    done = run(analyze, "verify", "semloop.target", *SERVICES, *timers)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.process
def test_services_are_confined(analyze: Sequence[str | Path]) -> None:
    threshold = f"--threshold={EXPOSURE_MAX}"
    for unit in SERVICES:
        done = run(analyze, "security", "--offline=yes", threshold, unit)
        assert done.returncode == 0, done.stdout
