"""Processes `semloop maintain rebuild` that are killed at each step, with readers."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from semloop import layout
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.rebuilt_lake import both
from tests.flows.reindex_lake import (
    LATER_MS,
    Events,
    overlapping_sessions,
    run_memory,
)
from tests.storm.fail_points import FAIL_POINTS
from tests.storm.watching_reader import HITS
from tests.support.builders import LOG
from tests.support.processes import ROOT, check, environment

pytestmark = [pytest.mark.storm, pytest.mark.process, pytest.mark.timeout(3 * 3_600)]

KILLS = 20
REBUILD = ("maintain", "rebuild")
# In the order in which a run passes them, so that each run comes one step further.
STEPS = [name for name, point in FAIL_POINTS.items() if point.flow == "rebuild"]
# Its position is stored every 30 seconds, so a run of a small lake has none.
STEPS.remove("rebuild, after its position")


@contextmanager
def watched(settings: Settings) -> Iterator[list[list[object]]]:
    """Read in another process; the list has what it saw after the block."""
    seen: list[list[object]] = []
    reader = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.storm.watching_reader"],
        env=environment(settings),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield seen
    finally:
        output, _ = reader.communicate()
        seen += map(json.loads, output.splitlines())


def killed(settings: Settings, step: str) -> int:
    """Run a rebuild that ends itself at a step; return its exit code."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.storm.armed", step, *REBUILD],
        env=environment(settings),
        cwd=ROOT,
        capture_output=True,
    )
    return done.returncode


@pytest.mark.parametrize(
    "fixture",
    ["settings", pytest.param("s3_settings", marks=pytest.mark.real_store)],
    ids=["folder", "S3"],
)
def test_rebuilds_killed_at_each_step_lose_and_double_nothing(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    asked: Settings = request.getfixturevalue(fixture)
    settings = asked.replace(
        embedder="hashing", topic=LOG.topic, commit_rows=1, fence_check_s=1_000
    )
    layout.bind(Storage.of(settings))
    events = Events(settings)
    events.add(overlapping_sessions(100))
    run_memory(settings, events, later_ms=LATER_MS)
    # The first episodes are carried over.
    events.expire(20)
    expected = both(settings)
    assert all(expected)
    kills: Counter[str] = Counter()
    with watched(settings) as seen:
        for _ in range(KILLS):
            for step in STEPS:
                kills[step] += killed(settings, step) == -signal.SIGKILL
            assert both(settings) == expected
            check(settings, *REBUILD)
            assert both(settings) == expected
            print(json.dumps(kills), flush=True)
    assert kills == dict.fromkeys(STEPS, KILLS)
    episodes = len(expected[0])
    assert sorted(seen) == [["files", episodes], ["recall", HITS], ["view", episodes]]
