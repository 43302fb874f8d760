"""Files with wide rows are written once, and no later run looks at them again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from flows.compact import compact
from flows.compaction_due import compaction_is_due
from schemas.arrow import EVENTS
from schemas.compaction import FILES_MIN
from semloop.delta.file_name import FileName
from semloop.delta.snapshot import read_snapshot
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sinks.compaction import wide_rows
from tests.sinks.compacting import file_count, rows_in_files
from tests.sources.events_table import EventsTable
from tests.support.builders import keyed

pytestmark = pytest.mark.slow

ROW_BYTES = 10_000
# A row of a file is a unit of width: four of them fit in a merge.
WIDE_BYTES_MAX = 5 * ROW_BYTES


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide_rows, "WIDE_BYTES_MAX", WIDE_BYTES_MAX)


def lake_of(storage: Storage, widths: Sequence[int], days_ago: int = 5) -> Settings:
    """Write files with these numbers of rows; then one of today, so that they end."""
    table = EventsTable(storage, step=timedelta(seconds=1))
    table.now = datetime.now(UTC) - timedelta(days=days_ago)
    offset = 0
    for width in (*widths, 1):
        rows = [table.row(0, offset + n) for n in range(width)]
        for row in rows:
            row["payload"] = "x" * ROW_BYTES
        offset += width
        table.now = datetime.now(UTC) if offset > sum(widths) else table.now
        stamp = {"ingested_at": table.now, "date": table.now.date()}
        arrow = pa.Table.from_pylist([row | stamp for row in rows], EVENTS)
        table.table.commit(arrow, keyed({0: offset - 1}), {})
        table.now += timedelta(seconds=1)
    return load({}, lake=storage.root)


def levels(storage: Storage) -> list[int]:
    """Return the levels of the files, in the order of commits."""
    snapshot = read_snapshot(storage, "events")
    assert snapshot is not None
    names = [FileName.of(path) for path in snapshot.files]
    return [name.level for name in sorted(names, key=lambda name: name.first)]


WIDTHS = {
    "too wide to be sorted": [6, 9, 7],
    "too wide for others": [3, 4, 3],
    "wide together": [1, 2, 2, 2, 1],
    "between wide ones": [6, 1, 6, 1, 4],
}


@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("cold_after", [{}, {"events": 2.0}], ids=["over", "cold"])
def test_a_second_run_plans_nothing(
    storage: Storage, widths: Sequence[int], cold_after: dict[str, float]
) -> None:
    settings = lake_of(storage, widths).replace(cold_after=cold_after)
    before = rows_in_files(storage)
    assert compaction_is_due(settings)
    report = compact(settings)
    assert report.merged > 0
    assert not report.failed
    assert rows_in_files(storage) == before
    assert not compaction_is_due(settings)
    assert compact(settings).merged == 0
    *old, _ = levels(storage)
    assert all(level >= 100 for level in old) or not cold_after


def test_wide_files_of_today_are_not_looked_at_again(storage: Storage) -> None:
    settings = lake_of(storage, [3] * FILES_MIN, days_ago=0)
    assert compaction_is_due(settings)
    compact(settings)
    assert not compaction_is_due(settings)
    assert file_count(storage) == FILES_MIN + 1


def test_a_wide_file_becomes_cold_later(storage: Storage) -> None:
    settings = lake_of(storage, WIDTHS["too wide to be sorted"])
    compact(settings)
    assert not compaction_is_due(settings)
    old = settings.replace(cold_after={"events": 2.0})
    assert compaction_is_due(old)
    assert compact(old).merged == 3
    assert not compaction_is_due(old)
