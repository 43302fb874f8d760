"""Ages that do not depend on the wall clock."""

import os
import sys
import time

import pytest

from semloop.boot_clock import AHEAD_MS, BootTime, Moment, boot_time, process_age_s


def test_moments_of_two_machines_are_compared_by_the_wall_clock() -> None:
    here = Moment(100_000, BootTime("here", 5))
    for other in (None, BootTime("there", 9)):
        assert here.age_ms(Moment(101_000, other)) == 1_000
        assert here.age_ms(Moment(100_000 - AHEAD_MS, other)) == 0
        assert here.age_ms(Moment(100_000 - AHEAD_MS - 1, other)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an id of a boot")
def test_the_boot_clock_continues_when_the_wall_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Moment.now()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    after = Moment.now()
    assert (before.boot, after.wall_ms) != (None, before.wall_ms)
    age_ms = before.age_ms(after)
    assert age_ms is not None
    assert age_ms >= 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_the_age_of_a_process_is_the_time_since_its_start() -> None:
    now, age_s = boot_time(), process_age_s(os.getpid())
    assert now is not None
    assert age_s is not None
    assert 0 < age_s < now.ms / 1_000 + 1
    parent_s = process_age_s(os.getppid())
    assert parent_s is None or parent_s >= age_s
    assert process_age_s(2**30) is None
