"""Smoke test of the storm: a run of a few seconds."""

import os
import subprocess
import sys

import pytest

from tests.support.processes import ROOT
from tests.support.services import SERVICES

pytestmark = pytest.mark.process


@pytest.mark.timeout(150)
def test_a_short_storm_is_clean_and_prints_its_counts() -> None:
    services = {"SEMLOOP_TEST_SERVICES": SERVICES} if SERVICES else {}
    done = subprocess.run(
        [sys.executable, "-m", "tests.storm", "--minutes", "0.2", "--seed", "12"],
        cwd=ROOT,
        env=os.environ | services,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = next(line for line in done.stdout.splitlines() if ": seed 12, " in line)
    assert verdict.startswith("clean: seed 12, 0.2 min, 1 process on ")
    assert " 15,600 events, 0 lost, 0 duplicated, 0 unknown" in verdict
