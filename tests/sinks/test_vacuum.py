"""A vacuum: frozen processes, crashes, readers of earlier versions, wrong clocks."""

import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semloop.delta.unused_files import UnusedFiles, unused_files
from semloop.errors import StorageUnavailable
from semloop.storage.location import Storage
from semloop.storage.stored_file import StoredFile
from sinks.compaction.log_entry import Outcome
from sinks.delta.table_log import TableLog
from sinks.vacuum import Deleted, delete_unused
from tests.sinks.compacting import (
    SteppedStorage,
    at_request,
    compact,
    data_files,
    file_count,
    rows_in_files,
    rows_in_lake,
)
from tests.sinks.sink_contract import clean_log
from tests.sinks.vacuuming import (
    COMMITS,
    OLD_S,
    VacuumedStorage,
    all_rows,
    make_old,
    unused,
    vacuum,
    vacuum_old,
    written,
)
from tests.sources.events_table import EventsTable

pytestmark = pytest.mark.slow

UUID = "0123abcd-0123-0123-0123-0123456789ab"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of a few commits, to be copied."""
    folder = tmp_path_factory.mktemp("fresh")
    written(folder)
    return folder


@pytest.fixture(scope="module")
def compacted(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a compaction."""
    folder = tmp_path_factory.mktemp("compacted") / "lake"
    shutil.copytree(fresh, folder)
    compact(Storage(str(folder)))
    return folder


def append(storage: Storage) -> None:
    EventsTable(storage).commit((0, COMMITS))


def append_and_compact(storage: Storage) -> None:
    append(storage)
    compact(storage)


RIVALS: dict[str, Callable[[Storage], object]] = {
    "append": append,
    "compaction": append_and_compact,
    "vacuum": vacuum,
    "clean-up of the log": lambda storage: clean_log(storage, "events"),
}


class Meanwhile:
    """Something that happens to a lake while a process is frozen; keeps the result."""

    def __init__(self, storage: Storage, action: Callable[[Storage], object]) -> None:
        self._storage, self._action = storage, action
        self.results: list[object] = []

    def __call__(self) -> None:
        self.results.append(self._action(self._storage))


def copied(lake: Path, folder: Path) -> Storage:
    return Storage(str(shutil.copytree(lake, folder)))


@pytest.mark.parametrize("rival", RIVALS.values(), ids=RIVALS)
def test_a_vacuum_frozen_at_any_request_leaves_every_row_once(
    tmp_path: Path, compacted: Path, rival: Callable[[Storage], object]
) -> None:
    for number in itertools.count():
        storage = copied(compacted, tmp_path / str(number))
        meanwhile = Meanwhile(storage, rival)
        vacuum(VacuumedStorage(storage.root, before=at_request(number, meanwhile)))
        rows = rows_in_files(storage)
        assert rows in (all_rows(COMMITS), all_rows(COMMITS + 1))
        vacuum(storage)
        assert rows_in_files(storage) == rows
        assert len(list(data_files(storage))) == file_count(storage)
        if not meanwhile.results:
            break
    assert rows_in_lake(storage) == rows
    assert number >= 6


def test_a_compaction_frozen_for_a_day_at_any_request_adds_no_deleted_file(
    tmp_path: Path, fresh: Path
) -> None:
    for number in itertools.count():
        storage = copied(fresh, tmp_path / str(number))
        meanwhile = Meanwhile(storage, vacuum_old)
        before = at_request(number, meanwhile)
        (outcome,) = compact(SteppedStorage(storage.root, before=before))
        assert rows_in_files(storage) == all_rows(COMMITS)
        if not meanwhile.results:
            break
        # Its own file was deleted, or was not written yet, or was committed before.
        deleted = meanwhile.results != [Deleted()]
        assert outcome is not (Outcome.COMMITTED if deleted else Outcome.TOO_OLD)
    assert number >= 6


def test_a_writer_frozen_for_a_day_before_its_commit_writes_its_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = written(tmp_path)
    commit = TableLog.commit
    causes: list[str] = []
    table.table._on_retry = lambda name, cause: causes.append(cause)

    def frozen(*args: Any) -> None:
        monkeypatch.setattr(TableLog, "commit", commit)
        vacuum_old(table.storage)
        commit(*args)

    monkeypatch.setattr(TableLog, "commit", frozen)
    table.commit((0, COMMITS))
    assert causes == ["moved"]
    assert rows_in_files(table.storage) == all_rows(COMMITS + 1)


def test_a_reader_of_an_earlier_version_keeps_its_files_for_the_time(
    tmp_path: Path,
) -> None:
    table = written(tmp_path)
    before = table.storage.open("events")
    compact(table.storage)
    make_old(table.storage)
    # Written long ago, but replaced now.
    assert vacuum(table.storage, 24) == Deleted()
    assert before.to_pyarrow_table().num_rows == COMMITS
    assert vacuum(table.storage).files == COMMITS
    assert rows_in_files(table.storage) == all_rows(COMMITS)


def test_young_files_that_no_version_has_are_kept(tmp_path: Path) -> None:
    table = written(tmp_path)
    path = next(data_files(table.storage))
    path.with_name("part-9-left.zstd.parquet").write_bytes(b"left")
    table.commit((0, COMMITS))
    assert vacuum(table.storage, 24) == Deleted()
    make_old(table.storage)
    version = table.storage.open("events").version()
    assert vacuum(table.storage, 24) == Deleted(1, 4)
    assert table.storage.open("events").version() == version + 1


def test_nothing_to_delete_puts_no_entry(tmp_path: Path) -> None:
    table = written(tmp_path)
    version = table.storage.open("events").version()
    assert vacuum(table.storage) == Deleted()
    assert table.storage.open("events").version() == version


def test_a_clock_that_was_set_ahead_deletes_no_file_of_a_writer(tmp_path: Path) -> None:
    table = written(tmp_path)
    path = next(data_files(table.storage))
    # Its commit follows.
    path.with_name("part-9-new.zstd.parquet").write_bytes(b"new")
    assert vacuum(table.storage, -1_000) == Deleted()


def test_a_file_whose_removal_the_log_forgot_stays_as_long_as_its_replacement_is_young(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = written(tmp_path)
    compact(table.storage)
    make_old(table.storage)
    # By the clock of a machine that was ahead: the checkpoint dropped all removals.
    monkeypatch.setattr("semloop.delta.unused_files.removed_files", lambda *_: {})
    assert vacuum(table.storage, 24) == Deleted()
    (merged,) = map(Path, table.storage.open("events").file_uris())
    old_s = time.time() - OLD_S
    os.utime(merged, (old_s, old_s))
    for path in data_files(table.storage):
        if path != merged:
            os.utime(path, (old_s - 1, old_s - 1))
    found = unused(table.storage, 24)
    assert (len(found.replaced), found.left) == (COMMITS, ())


def test_names_tell_what_was_replaced_once_the_log_has_forgotten_it(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def file(name: str, day: str = "a", changed_s: float = 1.0) -> StoredFile:
        path = f"events/date={day}/{name}-{UUID}.zstd.parquet"
        return StoredFile(path, 1, changed_s)

    merged = file("compacted-1-2-9", changed_s=1.5)
    upgraded = file("compacted-1-0-9", "b", changed_s=1.5)
    module = "semloop.delta.unused_files"
    monkeypatch.setattr(f"{module}.names_of", lambda _: {merged.name, upgraded.name})
    replaced = {file("part-2"), file("part-9"), file("compacted-0-3-8")}
    replaced |= {file("of-an-earlier-version", day="b")}
    # Newer or older than its rows, of the same level, of another date.
    left = {file("part-10"), file("part-1"), file("compacted-1-3-8")}
    left |= {file("part-9", day="c")}
    listed = [merged, upgraded, *replaced, *left]
    found = unused_files(Storage(str(fresh)), "events", listed, 2.0)
    assert found is not None
    assert (set(found.replaced), set(found.left)) == (replaced, left)


def test_the_log_remembers_removed_files_for_longer_than_the_setting(
    tmp_path: Path,
) -> None:
    table = written(tmp_path)
    compact(table.storage)
    delete_unused(table.storage, unused(table.storage, 0), 48, 60.0)
    kept = table.storage.open("events").metadata().configuration
    assert kept["delta.deletedFileRetentionDuration"] == "interval 49 hours"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_added_meanwhile_is_kept(tmp_path: Path, replaced: bool) -> None:
    table = written(tmp_path)
    path = table.storage.open("events").file_uris()[0]
    name = Path(path).relative_to(tmp_path).as_posix()
    found = UnusedFiles("events", left=(StoredFile(name, 1, 0.0),))
    if replaced:
        compact(table.storage)
    assert delete_unused(table.storage, found, 24, 60.0) == Deleted()
    assert Path(path).exists()


class Crash(BaseException):
    """The process died; no handler catches it."""


def dying_after(count: int) -> Callable[..., None]:
    """Return `Path.unlink` of a process that dies after some calls."""
    left, unlink = iter(range(count)), Path.unlink

    def dying(path: Path, *args: Any) -> None:
        if next(left, None) is None:
            raise Crash
        unlink(path, *args)

    return dying


def test_the_run_after_a_crash_between_two_deletions_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = written(tmp_path)
    compact(table.storage)
    found = unused(table.storage, 0)
    for deleted in range(COMMITS):
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", dying_after(deleted))
            with pytest.raises(Crash):
                delete_unused(table.storage, found, 24, 60.0)
        assert rows_in_files(table.storage) == all_rows(COMMITS)
    vacuum(table.storage)
    assert len(list(data_files(table.storage))) == file_count(table.storage) == 1


@pytest.mark.usefixtures("fast_retries")
def test_storage_that_fails_before_the_entry_is_tried_again(tmp_path: Path) -> None:
    table = written(tmp_path)
    compact(table.storage)
    left = iter(range(3))

    def fail(method: str, name: str) -> None:
        if next(left, None) is not None:
            raise StorageUnavailable("Not now.")  # noqa: EM101

    storage = VacuumedStorage(str(tmp_path), before=fail)
    found = unused(table.storage, 0)
    assert delete_unused(storage, found, 24, 60).files == COMMITS
