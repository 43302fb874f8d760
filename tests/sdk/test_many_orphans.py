"""Many processes have ended, each with events that it has not sent."""

import subprocess
import sys
from pathlib import Path

import pytest

from semloop.settings import Settings
from tests.sdk.sent_events import sent_ids
from tests.support.processes import ROOT, environment
from tests.support.spools import leave, unsent

# Has few descriptors more than an agent needs, and sends what others have left.
NEXT = """
import json, os, resource, sys, time
from pathlib import Path
from semloop import Agent
agent = Agent("tester")
spool = Path(sys.argv[1])
agent.session("s-1").message("user", "own")
assert agent.flush(60)
most = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (most + 8, most + 8))
while len(list(spool.glob("*.seg"))) > 1:
    most = max(most, len(os.listdir("/proc/self/fd")))
    time.sleep(0.02)
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("orphans", [150, pytest.param(1_000, marks=pytest.mark.storm)])
def test_one_process_sends_what_many_have_left_with_few_descriptors(
    settings: Settings, tmp_path: Path, orphans: int
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"))
    for number in range(orphans):
        leave(own, str(number), id=f"event-{number}")
    spool = Path(own.agent.spool)
    assert len(list(spool.glob("*.lock"))) == orphans
    done = subprocess.run(
        [sys.executable, "-c", NEXT, str(spool)],
        env=environment(own, SEMLOOP_SPOOL=str(spool), SEMLOOP_AGENT_FLUSH_S="20"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert unsent(spool) == []
    ids = sent_ids(own)
    assert len(ids) == orphans + 1
    assert {f"event-{number}" for number in range(orphans)} <= set(ids)
    assert list(spool.iterdir()) == []
