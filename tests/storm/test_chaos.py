"""Faults of a laptop against a local stack: a few in a fixed order, and a long run at random."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.storm.chaos import Result, finish, kinds, one_round, scene_in
from tests.support.processes import ROOT

FEW = ("suspend", "clock", "disk", "kill supervisor")


@pytest.mark.process
@pytest.mark.storm
@pytest.mark.timeout(600)
def test_a_stack_recovers_from_faults_with_each_event_stored_once(
    usual_port: None, tmp_path: Path
) -> None:
    result = Result()
    with scene_in(tmp_path, seed=1, disk_mib=1_300) as scene:
        found = kinds(scene)
        # Without root or a C compiler there is no disk to fill, or no clock to set.
        for name in filter(found.__contains__, FEW):
            one_round(scene, name, found[name][1], 0.5, result)
        result.problems += finish(scene.stack)
    assert result.problems == []
    assert result.rounds.total() >= len(FEW) - 2


@pytest.mark.storm
@pytest.mark.timeout(7_200)
def test_a_stack_recovers_from_a_hundred_faults() -> None:
    command = [sys.executable, "-m", "tests.storm.chaos", "--rounds", "100"]
    done = subprocess.run(
        [*command, "--seed", "19"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
