"""The log entry of a compaction: frozen maintainers, lost replies, wrong clocks."""

import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from semloop.delta.log_entry import entry_name
from semloop.errors import StorageUnavailable
from sinks.compaction.log_entry import Outcome
from sinks.compaction.merged_file import write_merged
from tests.sinks.compacted_lake import COMMITS, all_rows, append, copied, written
from tests.sinks.compacting import (
    SteppedStorage,
    at_request,
    commit,
    compact,
    data_files,
    due,
    file_count,
    in_turn,
    requests,
    rows_in_files,
    rows_in_lake,
)
from tests.sinks.sink_contract import clean_log
from tests.sources.events_table import EventsTable

pytestmark = pytest.mark.slow

Rival = Callable[[EventsTable], object]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of a few commits, to be copied."""
    folder = tmp_path_factory.mktemp("fresh")
    written(folder)
    return folder


def compact_twice(table: EventsTable) -> None:
    compact(table.storage)
    append(table, COMMITS)
    compact(table.storage)


def clean(table: EventsTable) -> None:
    """Clean up the log, as far as it can be, after an append."""
    append(table, COMMITS)
    clean_log(table.storage, "events")


RIVALS: dict[str, Rival] = {
    "append": lambda table: append(table, COMMITS),
    "two compactions": compact_twice,
    "clean-up of the log": clean,
    "checkpoint": lambda table: table.storage.open("events").create_checkpoint(),
}


@pytest.mark.parametrize("rival", RIVALS.values(), ids=RIVALS)
def test_a_maintainer_frozen_at_any_request_leaves_every_row_once(
    tmp_path: Path, fresh: Path, rival: Rival
) -> None:
    count = requests(copied(fresh, tmp_path / "count").storage, compact)
    assert count >= 6
    seen: set[tuple[Outcome, ...]] = set()
    for number in range(count):
        table = copied(fresh, tmp_path / str(number))
        frozen = SteppedStorage(
            table.storage.root, before=at_request(number, partial(rival, table))
        )
        outcomes = tuple(compact(frozen))
        appended = rows_in_files(table.storage)
        assert appended in (all_rows(COMMITS), all_rows(COMMITS + 1))
        uris = table.storage.open("events").file_uris()
        # An entry below a checkpoint has no effect, and is not reported as committed.
        assert Outcome.COMMITTED not in outcomes or any("compacted" in u for u in uris)
        # An append, and the next maintainer, find the table in order.
        append(table, len(appended) // 2)
        if outcomes not in seen:
            assert rows_in_lake(table.storage) == rows_in_files(table.storage)
            compact(table.storage)
            assert file_count(table.storage) == 1
        seen.add(outcomes)
        rows = rows_in_files(table.storage)
        assert rows == all_rows(len(appended) // 2 + 1), (number, outcomes)


@pytest.mark.parametrize(
    "apart_max", [1, pytest.param(99, marks=pytest.mark.storm)], ids=["next", "any"]
)
def test_two_pauses_of_a_maintainer_leave_every_row_once(
    tmp_path: Path, fresh: Path, apart_max: int
) -> None:
    count = requests(copied(fresh, tmp_path / "count").storage, compact)
    # The requests after the merged file has been written.
    for first, second in itertools.combinations(range(1, count), 2):
        if second - first > apart_max:
            continue
        table = copied(fresh, tmp_path / f"{first}-{second}")
        steps = in_turn(
            at_request(first, partial(append, table, COMMITS)),
            at_request(second, partial(compact, table.storage)),
        )
        frozen = SteppedStorage(table.storage.root, before=steps)
        compact(frozen)
        assert rows_in_files(table.storage) == all_rows(COMMITS + 1)


class Crash(BaseException):
    """The process died; a BaseException, so that no handler catches it."""


def test_the_run_after_a_crash_at_any_request_finishes(
    tmp_path: Path, fresh: Path
) -> None:
    def crash() -> None:
        raise Crash

    count = requests(copied(fresh, tmp_path / "count").storage, compact)
    for number in range(count):
        table = copied(fresh, tmp_path / str(number))
        dying = SteppedStorage(table.storage.root, before=at_request(number, crash))
        with pytest.raises(Crash):
            compact(dying)
        append(table, COMMITS)
        compact(table.storage)
        assert rows_in_files(table.storage) == all_rows(COMMITS + 1)
        assert file_count(table.storage) == 1


@pytest.mark.parametrize("lost", [1, 3], ids=["one reply", "three replies"])
@pytest.mark.usefixtures("fast_retries")
def test_an_entry_whose_reply_was_lost_is_found(tmp_path: Path, lost: int) -> None:
    table = written(tmp_path)
    left = iter(range(lost))

    def lose(method: str, name: str) -> None:
        if method == "create" and next(left, None) is not None:
            msg = "The reply was lost."
            raise StorageUnavailable(msg)

    version = table.storage.open("events").version()
    assert compact(SteppedStorage(str(tmp_path), after=lose)) == [Outcome.COMMITTED]
    assert table.storage.open("events").version() == version + 1
    assert rows_in_files(table.storage) == all_rows(COMMITS)


def test_a_refused_entry_may_be_ones_own(tmp_path: Path) -> None:
    """The client repeated a request whose reply was lost, and was refused."""

    class Repeating(SteppedStorage):
        def create(self, name: str, data: bytes) -> bool:
            super().create(name, data)
            return super().create(name, data)

    table = written(tmp_path)
    version = table.storage.open("events").version()
    assert compact(Repeating(str(tmp_path))) == [Outcome.COMMITTED]
    assert table.storage.open("events").version() == version + 1


@pytest.mark.usefixtures("fast_retries")
def test_storage_that_fails_before_the_entry_is_tried_again(tmp_path: Path) -> None:
    table = written(tmp_path)
    left = iter(range(3))

    def fail(method: str, name: str) -> None:
        if "_delta_log" in name and next(left, None) is not None:
            msg = "Not now."
            raise StorageUnavailable(msg)

    assert compact(SteppedStorage(str(tmp_path), before=fail)) == [Outcome.COMMITTED]
    assert rows_in_files(table.storage) == all_rows(COMMITS)


def test_a_file_that_a_vacuum_may_delete_is_not_added(tmp_path: Path) -> None:
    table = written(tmp_path)
    (merge,) = due(table.storage)
    file = write_merged(table.storage, merge)
    path = Path(table.storage.uri("events"), file.path)
    old_s = path.stat().st_mtime - 13 * 3_600
    os.utime(path, (old_s, old_s))
    assert commit(table.storage, file) is Outcome.TOO_OLD
    path.unlink()
    assert commit(table.storage, file) is Outcome.TOO_OLD
    assert rows_in_files(table.storage) == all_rows(COMMITS)


def test_a_file_that_is_vacuumed_right_before_the_entry_is_not_added(
    tmp_path: Path,
) -> None:
    table = written(tmp_path)
    (merge,) = due(table.storage)
    file = write_merged(table.storage, merge)

    def vacuum() -> None:
        """Put an entry, and only then delete what no version has (ADR 19)."""
        append(table, COMMITS)
        Path(table.storage.uri("events"), file.path).unlink()

    once = at_request(0, vacuum)

    def before(method: str, name: str) -> None:
        if method == "create" and "_delta_log" in name:
            once(method, name)

    frozen = SteppedStorage(str(tmp_path), before=before)
    assert commit(frozen, file) is Outcome.TOO_OLD
    assert rows_in_files(table.storage) == all_rows(COMMITS + 1)
    assert rows_in_lake(table.storage) == all_rows(COMMITS + 1)


def test_the_clock_of_the_machine_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = written(tmp_path)
    (merge,) = due(table.storage)
    file = write_merged(table.storage, merge)
    monkeypatch.setattr("time.time", lambda: 1e9)
    monkeypatch.setattr("time.time_ns", lambda: int(1e18))
    assert commit(table.storage, file) is Outcome.COMMITTED
    version = table.storage.open("events").version()
    entry = table.storage.read(entry_name("events", version))
    assert entry is not None
    # 2001: the tombstones would be expired, and a vacuum would delete the files.
    assert b'"deletionTimestamp": 1000000000' not in entry


def test_the_loser_deletes_no_file(tmp_path: Path) -> None:
    table = written(tmp_path)
    (merge,) = due(table.storage)
    file = write_merged(table.storage, merge)
    compact(table.storage)
    before = sorted(data_files(table.storage))
    assert commit(table.storage, file) is Outcome.LOST
    assert sorted(data_files(table.storage)) == before


def test_a_table_that_was_created_again_is_left_alone(tmp_path: Path) -> None:
    table = written(tmp_path / "lake")
    (merge,) = due(table.storage)
    file = write_merged(table.storage, merge)
    (tmp_path / "lake").rename(tmp_path / "old")
    again = written(tmp_path / "lake")
    assert commit(again.storage, file) is Outcome.LOST
    assert rows_in_files(again.storage) == all_rows(COMMITS)


def test_a_table_that_another_program_changes_meanwhile_is_left_alone(
    tmp_path: Path,
) -> None:
    table = written(tmp_path)
    (merge,) = due(table.storage)
    file = write_merged(table.storage, merge)
    properties = {"delta.logRetentionDuration": "interval 5 hours"}

    def change() -> None:
        table.storage.open("events").alter.set_table_properties(properties)

    frozen = SteppedStorage(str(tmp_path), before=at_request(0, change))
    assert commit(frozen, file) is Outcome.LOST
    assert compact(table.storage) == [Outcome.COMMITTED]
    assert rows_in_files(table.storage) == all_rows(COMMITS)


def test_appends_on_a_stale_handle_are_not_refused(tmp_path: Path) -> None:
    retried: list[str] = []
    table = written(tmp_path)
    table.table._on_retry = lambda name, cause: retried.append(cause)
    for offset in range(COMMITS, COMMITS + 5):
        compact(table.storage)
        append(table, offset)
    assert retried == []
    assert rows_in_lake(table.storage) == all_rows(COMMITS + 5)
