"""Activity files: counts by agent and minute, and signs of life of the partitions."""

from pathlib import Path

import pytest

from semloop.boot_clock import BootTime, Moment
from semloop.errors import LakeError
from semloop.progress import activity as module
from semloop.progress.activity import (
    AGENTS_MAX,
    MINUTE_MS,
    OTHERS,
    WINDOW_S,
    Activity,
    AgentCounts,
    Tally,
    file_name,
    read_flow,
    recent_by_agent,
    sign_of_life,
)
from semloop.settings import load
from semloop.storage.location import Storage

NOW_MS = 30_000_000 * MINUTE_MS


def refused(count: int, letter: str = "a") -> AgentCounts:
    return AgentCounts(tallies={"not_json": Tally(count, letter)})


def test_counts_are_added_by_agent_and_the_newest_example_is_kept() -> None:
    activity = Activity(0)
    activity.count({"a": AgentCounts(3), "b": refused(2, "old")}, NOW_MS)
    activity.count({"b": refused(1, "new")}, NOW_MS + MINUTE_MS)
    found = recent_by_agent([activity], NOW_MS + MINUTE_MS)
    assert (found["a"].records, found["a"].refused) == (3, 0)
    assert found["b"].tallies["not_json"] == Tally(3, "new")


def test_counts_end_with_the_period() -> None:
    activity = Activity(0)
    activity.count({"a": refused(50)}, NOW_MS)
    just_before = NOW_MS + WINDOW_S * 1_000 - 1
    assert recent_by_agent([activity], just_before)["a"].refused == 50
    # A writer that is idle does not remove them: readers do not count them.
    assert recent_by_agent([activity], just_before + MINUTE_MS) == {}
    activity.count({"b": AgentCounts(1)}, just_before + MINUTE_MS)
    assert len(activity.minutes) == 1


def test_counts_that_a_clock_ahead_has_dated_are_dropped() -> None:
    activity = Activity(0)
    activity.count({"a": refused(50)}, NOW_MS + 120 * MINUTE_MS)
    assert recent_by_agent([activity], NOW_MS) == {}
    activity.count({"b": AgentCounts(1)}, NOW_MS)
    assert len(activity.minutes) == 1


def test_made_up_names_of_agents_do_not_fill_the_file() -> None:
    activity = Activity(0)
    for number in range(AGENTS_MAX + 50):
        activity.count({f"agent {number}": AgentCounts(1)}, NOW_MS)
    found = recent_by_agent([activity], NOW_MS)
    assert len(found) == AGENTS_MAX + 1
    assert found[OTHERS].accepted == 50


def test_counts_of_several_workers_are_added() -> None:
    both = Activity(0), Activity(0)
    for activity in both:
        activity.count({"a": refused(10)}, NOW_MS)
    assert recent_by_agent(list(both), NOW_MS)["a"].refused == 20


def test_the_oldest_sign_of_life_of_a_partition_counts() -> None:
    workers = [
        Activity(1_000, 900, ["t/0"]),
        Activity(5_000, 4_000, ["t/1"]),
    ]
    found = sign_of_life(workers, Moment(6_000))
    assert found is not None
    assert (found.age_ms, found.behind_ms) == (5_000, 5_100)


def test_a_worker_of_an_earlier_larger_set_does_not_count() -> None:
    workers = [Activity(5_000, None, ["t/0", "t/1"]), Activity(1_000, None, ["t/1"])]
    found = sign_of_life(workers, Moment(6_000))
    assert found is not None
    assert found.age_ms == 1_000


def test_a_worker_without_partitions_does_not_count() -> None:
    workers = [Activity(1_000, 900, ["t/0"]), Activity(5_000, 4_000)]
    found = sign_of_life(workers, Moment(6_000))
    assert found is not None
    assert (found.age_ms, found.behind_ms) == (5_000, 5_100)


def test_a_worker_of_a_deleted_topic_does_not_count() -> None:
    workers = [Activity(5_000, None, ["new/0"]), Activity(1_000, None, ["old/3"])]
    found = sign_of_life(workers, Moment(6_000))
    assert found is not None
    assert found.age_ms == 1_000


def test_a_file_that_a_clock_ahead_has_dated_owns_no_partition() -> None:
    stale = Activity(10**9, None, ["t/0", "t/1"])
    workers = [stale, Activity(5_000, 4_000, ["t/1", "t/0"])]
    found = sign_of_life(workers, Moment(6_000))
    assert found is not None
    assert (found.age_ms, found.behind_ms) == (1_000, 2_000)


def test_ages_of_one_boot_do_not_depend_on_the_wall_clock() -> None:
    level, at = BootTime("boot", 1_000), BootTime("boot", 7_000)
    flow = [Activity(10**9, 10**9, ["t/0"], at_boot=at, caught_up_boot=level)]
    found = sign_of_life(flow, Moment(6_000, BootTime("boot", 9_000)))
    assert found is not None
    assert (found.age_ms, found.behind_ms) == (2_000, 8_000)
    after_reboot = sign_of_life(flow, Moment(6_000, BootTime("next", 1_000)))
    assert after_reboot is not None
    assert (after_reboot.age_ms, after_reboot.behind_ms) == (None, None)


def test_there_is_no_sign_of_life_before_a_flow_ran() -> None:
    assert sign_of_life([], Moment(0)) is None


def test_an_unreadable_file_counts_as_none(tmp_path: Path) -> None:
    storage = Storage.of(load({}, lake=str(tmp_path)))
    storage.replace(file_name("archive", 0), b'{"at_ms": "soon"}')
    assert read_flow(storage, "archive") == []


def test_a_lake_with_very_many_workers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORKERS_MAX", 2)
    storage = Storage.of(load({}, lake=str(tmp_path)))
    for worker in range(3):
        storage.replace(file_name("archive", worker), b'{"at_ms": 1}')
    with pytest.raises(LakeError, match="over 2 workers"):
        read_flow(storage, "archive")
