"""Flows that are killed or frozen at named fail-points."""

from pathlib import Path

import pytest

from tests.storm.fail_points import FAIL_POINTS, FailPoint
from tests.storm.points import points


@pytest.mark.parametrize("point", FAIL_POINTS.values(), ids=FAIL_POINTS)
def test_a_fail_point_names_a_function(point: FailPoint) -> None:
    owner, name = point.found()
    assert callable(getattr(owner, name))


@pytest.mark.storm
@pytest.mark.process
@pytest.mark.timeout(3_600)
def test_each_event_is_stored_and_remembered_once_despite_kills(tmp_path: Path) -> None:
    for kills in (len(FAIL_POINTS) // 2, len(FAIL_POINTS)):
        with pytest.raises(SystemExit, match="0"):
            points(kills, seed=1, folder=tmp_path)
