"""The activity file of a worker: since when a flow that reads the lake is behind."""

from pathlib import Path

import pytest

from semloop.boot_clock import BootTime, Moment
from semloop.delta.streams import Partition
from semloop.progress.activity import files_of, last_end, read_file, read_flow
from semloop.settings import DEFAULT_TOPIC, load
from semloop.storage.location import Storage
from sinks.activity_file import JUMP_MS, RESTART_MS, WRITE_MS, ActivityFile

OWNED = [Partition("t", 0)]
NOW_MS = 10**12
DAY_MS = 86_400_000


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.of(load({}, lake=str(tmp_path)))


@pytest.fixture(autouse=True)
def _writes_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 0.0)


def start(storage: Storage, now_ms: int) -> ActivityFile:
    file = ActivityFile(storage, "memory", 0, DEFAULT_TOPIC)
    file.start(OWNED, Moment(now_ms))
    return file


def level_ms(storage: Storage) -> int | None:
    activity = read_file(storage, "memory", 0)
    assert activity is not None
    return activity.caught_up_ms


def at_ms(storage: Storage) -> int:
    (activity,) = read_flow(storage, "memory")
    return activity.at_ms


def test_a_restart_does_not_hide_what_waited_before(storage: Storage) -> None:
    start(storage, NOW_MS).beat(NOW_MS - 500_000, Moment(NOW_MS + 1_000))
    start(storage, NOW_MS + 2_000)
    assert level_ms(storage) == NOW_MS - 500_000


def test_a_flow_that_was_stopped_is_not_behind_since_then(storage: Storage) -> None:
    start(storage, NOW_MS)
    start(storage, NOW_MS + 2 * RESTART_MS)
    assert level_ms(storage) == NOW_MS + 2 * RESTART_MS


def test_a_flow_that_has_caught_up_says_so_immediately(storage: Storage) -> None:
    start(storage, NOW_MS)
    file = start(storage, NOW_MS + JUMP_MS)
    file.beat(NOW_MS + JUMP_MS, Moment(NOW_MS + JUMP_MS + 1))
    assert level_ms(storage) == NOW_MS + JUMP_MS


def test_a_slow_store_gets_no_more_writes(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(0, 1_000, 5))
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    file = start(storage, NOW_MS)  # takes five seconds
    file.beat(NOW_MS, Moment(NOW_MS + 5_000 + WRITE_MS - 1))
    assert at_ms(storage) == NOW_MS
    file.beat(NOW_MS, Moment(NOW_MS + 5_000 + WRITE_MS))
    assert at_ms(storage) == NOW_MS + 5_000 + WRITE_MS


def test_a_clock_that_is_set_back_delays_no_sign_of_life(storage: Storage) -> None:
    start(storage, NOW_MS).beat(NOW_MS, Moment(NOW_MS - 500))
    assert at_ms(storage) == NOW_MS - 500


def test_a_level_keeps_its_age_when_the_clock_is_set(storage: Storage) -> None:
    file = ActivityFile(storage, "memory", 0, DEFAULT_TOPIC)
    file.start(OWNED, Moment(NOW_MS, BootTime("boot", 50_000)))
    file.beat(NOW_MS - 400, Moment(NOW_MS + 100, BootTime("boot", 50_100)))
    set_back = Moment(NOW_MS - DAY_MS, BootTime("boot", 52_000))
    file.beat(NOW_MS - 400, set_back)
    file = ActivityFile(storage, "memory", 0, DEFAULT_TOPIC)
    file.start(OWNED, Moment(NOW_MS - DAY_MS, BootTime("boot", 53_000)))
    found = read_file(storage, "memory", 0)
    assert found is not None
    assert found.caught_up_boot == BootTime("boot", 49_600)


def test_two_topics_of_a_lake_have_files_of_their_own(storage: Storage) -> None:
    start(storage, NOW_MS)
    ActivityFile(storage, "memory", 0, "chats").start(OWNED, Moment(NOW_MS + 7))
    (other,) = read_flow(storage, files_of("memory", "chats"))
    assert (at_ms(storage), other.at_ms) == (NOW_MS, NOW_MS + 7)


def test_a_start_renews_the_sign_of_a_process_that_died(storage: Storage) -> None:
    start(storage, NOW_MS).beat(NOW_MS, Moment(NOW_MS + WRITE_MS))
    later = Moment(NOW_MS + DAY_MS)
    ActivityFile(storage, "memory", 0, DEFAULT_TOPIC).resume(later)
    (found,) = read_flow(storage, "memory")
    assert (found.at_ms, found.caught_up_ms) == (later.wall_ms, later.wall_ms)
    assert found.partitions == ["t/0"]


def test_a_start_does_not_renew_the_sign_of_a_flow_that_was_stopped(
    storage: Storage,
) -> None:
    ActivityFile(storage, "memory", 0, DEFAULT_TOPIC).resume(Moment(NOW_MS))
    assert read_flow(storage, "memory") == []
    start(storage, NOW_MS).beat(None, Moment(NOW_MS), ended=True)
    ActivityFile(storage, "memory", 0, DEFAULT_TOPIC).resume(Moment(2 * NOW_MS))
    (found,) = read_flow(storage, "memory")
    assert (found.at_ms, found.ended) == (NOW_MS, True)


def test_a_run_that_starts_keeps_when_the_last_one_ended(storage: Storage) -> None:
    run = ActivityFile(storage, "index", 0, DEFAULT_TOPIC)
    run.start_run(Moment(NOW_MS))
    (found,) = read_flow(storage, "index")
    assert (found.ended, last_end(found)) == (False, None)
    run.beat(NOW_MS + 5, Moment(NOW_MS + 5), ended=True)
    for at_ms in (NOW_MS + 10, NOW_MS + 20):  # the first of them was killed
        run = ActivityFile(storage, "index", 0, DEFAULT_TOPIC)
        run.start_run(Moment(at_ms))
        (found,) = read_flow(storage, "index")
        assert (found.at_ms, last_end(found)) == (at_ms, Moment(NOW_MS + 5))


def test_no_folder_is_made_where_a_lake_was(storage: Storage) -> None:
    file = ActivityFile(storage, "archive", 0, "chats")
    file.start([], Moment(0))
    place = Path(storage.root)
    place.rename(place.with_name("moved"))
    file.beat(None, Moment(60_000))
    assert not place.exists()
