"""A flow reads on when the clock of its machine is set back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.paused_reader import ITEMS
from tests.storm.wall_clock import WallClock
from tests.support.processes import ROOT


@pytest.mark.process
def test_a_pause_ends_when_the_clock_is_set_back(tmp_path: Path) -> None:
    clock = WallClock.in_folder(tmp_path)
    if clock is None:
        pytest.skip("needs a C compiler")
    file = clock.environ["WALL_CLOCK_FILE"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.paused_reader", file],
        env=os.environ | clock.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == (f"{ITEMS}\n", 0), done.stderr
