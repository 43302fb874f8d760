"""The log entry by which rows go: frozen processes, crashes, lost replies."""

import itertools
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from schemas.batches import ExpiredDate
from schemas.compaction import Replacement
from schemas.retention import ALL
from semloop.errors import StorageUnavailable
from semloop.storage.location import Storage
from sinks.compaction.active_files import ActiveFiles
from sinks.compaction.log_entry import Outcome, commit_replacement
from sinks.retention.expired_rows import expire
from sources.lake.expired_dates import expired_dates
from tests.sinks.compacting import (
    Request,
    SteppedStorage,
    at_request,
    compact,
    rows_in_files,
    rows_in_lake,
)
from tests.sinks.sink_contract import clean_log
from tests.sources.events_table import EventsTable
from tests.support.builders import NOW

pytestmark = pytest.mark.slow

COMMITS = 2
# Of the first day; those of the second day stay.
ROWS = [(0, offset) for offset in range(COMMITS)]
OTHERS = [(0, offset) for offset in range(COMMITS, 2 * COMMITS)]
Rival = Callable[[Storage, str], object]
CONDITIONS = {"whole date": ALL, "some rows": "kafka_offset = 0"}


def written(folder: Path) -> EventsTable:
    table = EventsTable(Storage(str(folder)), step=timedelta(seconds=1))
    for day in range(2):
        table.now += timedelta(days=day)
        for commit in range(COMMITS):
            table.commit((0, COMMITS * day + commit))
    return table


def expired(storage: Storage, condition: str) -> ExpiredDate | None:
    def condition_of(table: str, day: date) -> str | None:
        return condition if day == NOW.date() else None

    return next(expired_dates(storage, ["events"], condition_of), None)


def remove(storage: Storage, condition: str) -> Outcome:
    """Remove rows of the first day, like flow `retain`."""
    item = expired(storage, condition)
    if item is None:
        return Outcome.COMMITTED  # by a rival
    found = expire(storage, item, 60.0, dry_run=False)
    removed, added = found.removed, found.added
    change = Replacement(item.table, item.date, removed, added, changes_data=True)
    active = ActiveFiles(storage, item.table)
    return commit_replacement(storage, active, change, 60.0)


def left(condition: str) -> list[tuple[int, int]]:
    return OTHERS if condition == ALL else [*ROWS[1:], *OTHERS]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake to be copied."""
    folder = tmp_path_factory.mktemp("fresh")
    written(folder)
    return folder


def append(storage: Storage, condition: str) -> None:
    table = EventsTable(storage)
    table.now += timedelta(days=2)
    table.commit((0, 2 * COMMITS))


RIVALS: dict[str, Rival] = {
    "append": append,
    "compaction": lambda storage, condition: compact(storage),
    "expiry": remove,
}


class Meanwhile:
    """What happens to a lake while an expiry is frozen."""

    def __init__(self, storage: Storage, condition: str, rival: Rival) -> None:
        self._storage, self._condition, self._rival = storage, condition, rival
        self.done = False

    def __call__(self) -> None:
        self.done = True
        self._rival(self._storage, self._condition)


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
@pytest.mark.parametrize("rival", RIVALS.values(), ids=RIVALS)
def test_an_expiry_frozen_at_any_request_leaves_every_other_row_once(
    tmp_path: Path, fresh: Path, rival: Rival, condition: str
) -> None:
    for number in itertools.count():
        storage = Storage(str(shutil.copytree(fresh, tmp_path / str(number))))
        meanwhile = Meanwhile(storage, condition, rival)
        before = at_request(number, meanwhile)
        outcome = remove(SteppedStorage(storage.root, before=before), condition)
        rows = rows_in_files(storage)
        added = [(0, 2 * COMMITS)] if rival is append and meanwhile.done else []
        gone = outcome is Outcome.COMMITTED or rival is remove
        assert rows == [*(left(condition) if gone else ROWS + OTHERS), *added]
        if not meanwhile.done:
            break
        if not gone:
            assert remove(storage, condition) is Outcome.COMMITTED
            assert rows_in_files(storage) == [*left(condition), *added]
    assert rows_in_lake(storage) == rows
    assert number >= 3


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
@pytest.mark.usefixtures("fast_retries")
def test_an_entry_whose_reply_was_lost_is_found(tmp_path: Path, condition: str) -> None:
    table = written(tmp_path)
    version = table.storage.open("events").version()
    storage = SteppedStorage(str(tmp_path), after=_losing(1))
    assert remove(storage, condition) is Outcome.COMMITTED
    assert table.storage.open("events").version() == version + 1
    assert rows_in_files(table.storage) == left(condition)


@pytest.mark.usefixtures("fast_retries")
def test_an_entry_that_was_put_below_a_checkpoint_removes_nothing(
    tmp_path: Path,
) -> None:
    table = written(tmp_path)

    def clean(method: str, name: str) -> None:
        if method == "create":
            clean_log(table.storage, "events")

    storage = SteppedStorage(str(tmp_path), before=clean, after=_losing(1))
    assert remove(storage, ALL) is Outcome.LOST
    assert rows_in_files(table.storage) == ROWS + OTHERS


def _losing(count: int) -> Request:
    remaining = iter(range(count))

    def lose(method: str, name: str) -> None:
        if method == "create" and next(remaining, None) is not None:
            msg = "The reply was lost."
            raise StorageUnavailable(msg)

    return lose


def test_readers_of_the_log_know_that_rows_went(tmp_path: Path) -> None:
    table = written(tmp_path)
    remove(table.storage, ALL)
    handle = table.storage.open("events")
    assert handle.history(1)[0]["operation"] == "DELETE"
    assert '"dataChange": true' in _newest_entry(tmp_path)


def _newest_entry(folder: Path) -> str:
    return max((folder / "events" / "_delta_log").glob("*.json")).read_text()
