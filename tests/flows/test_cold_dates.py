"""Old dates are compressed hard, into a storage class, by the flow `compact`."""

import contextlib
import threading
from datetime import timedelta

import boto3
import pytest
from structlog.testing import capture_logs

from flows.compact import compact
from flows.compaction_due import compaction_is_due
from flows.retain import retain
from semloop.delta.file_name import FileName
from semloop.delta.snapshot import read_snapshot
from semloop.errors import ConfigError
from semloop.lake.lake import Lake
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.flows.retained_lake import DAYS, ROWS, payloads, write, written
from tests.support.stores import BUCKET

pytestmark = pytest.mark.slow

# Day 3 is old: its last moment was two days before the start of today.
COLD = {"events": 2.0}
OLD_DATES = 1
DAY = timedelta(days=1)
CLASS = "REDUCED_REDUNDANCY"


@pytest.fixture
def local(storage: Storage) -> Settings:
    return load({}, lake=storage.root).replace(cold_after=COLD)


@pytest.fixture(params=["local", "s3_settings"], ids=["folder", "s3"])
def lake(request: pytest.FixtureRequest) -> Settings:
    found: Settings = request.getfixturevalue(request.param)
    return found.replace(cold_after=COLD)


def cold_files(storage: Storage) -> list[str]:
    """Return the files of the newest version of `events` that were compressed hard."""
    snapshot = read_snapshot(storage, "events")
    assert snapshot is not None
    return sorted(path for path in snapshot.files if FileName.of(path).is_cold)


def storage_class(storage: Storage, path: str) -> str | None:
    """Return the storage class of a file on S3; None: that of the bucket."""
    name = storage.uri(f"events/{path}").removeprefix(f"s3://{BUCKET}/")
    with contextlib.closing(boto3.client("s3")) as client:
        found: str | None = client.head_object(Bucket=BUCKET, Key=name).get(
            "StorageClass"
        )
    return found


@pytest.mark.parametrize("compacted", [False, True])
def test_old_dates_are_written_once_more(lake: Settings, compacted: bool) -> None:
    storage = written(lake).storage
    if compacted:
        compact(lake.replace(cold_after={}))
    before = payloads(storage)
    report = compact(lake)
    assert (payloads(storage), report.failed) == (before, set())
    (path,) = cold_files(storage)
    assert path.startswith(f"date={storage_today(storage, 3)}/")
    assert not compaction_is_due(lake)
    assert compact(lake).merged == 0
    assert cold_files(storage) == [path]


def storage_today(storage: Storage, days: int) -> str:
    """Return the date some days ago, as the rows have it."""
    rows = storage.open("events").to_pyarrow_table(columns=["date", "payload"])
    found = zip(*rows.to_pydict().values(), strict=True)
    (day,) = {str(day) for day, text in found if text.startswith(f"{days}-")}
    return day


def test_old_dates_are_in_their_storage_class(s3_settings: Settings) -> None:
    settings = s3_settings.replace(cold_after=COLD, cold_storage_class=CLASS)
    storage = written(settings).storage
    compact(settings)
    (path,) = cold_files(storage)
    assert storage_class(storage, path) == CLASS
    snapshot = read_snapshot(storage, "events")
    assert snapshot is not None
    others = sorted(snapshot.files.keys() - {path})
    assert {storage_class(storage, each) for each in others} == {None}
    # A file that loses rows stays there.
    settings = settings.replace(retention={"events/a": 2.0})
    assert retain(settings).expired["events"].rows == 2
    (later,) = cold_files(storage)
    assert (later != path, storage_class(storage, later)) == (True, CLASS)
    assert compact(settings).merged == 0


def test_a_storage_class_is_ignored_in_a_folder(local: Settings) -> None:
    written(local)
    with capture_logs() as logs:
        compact(local.replace(cold_storage_class=CLASS))
    ignored = [log for log in logs if "storage class" in log["event"]]
    assert [log["name"] for log in ignored] == [CLASS]
    assert len(cold_files(Storage.of(local))) == OLD_DATES


@pytest.mark.parametrize("name", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_class_that_needs_a_restore_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"objects in {name} must be restored"):
        load({"SEMLOOP_COLD_STORAGE_CLASS": name})


@pytest.mark.parametrize(
    ("cold_after", "reason"),
    [
        ('{"memories": 9}', "`memories` is not one of events"),
        ('{"events": 1}', "`events` must be 0 or at least 2 days"),
    ],
)
def test_wrong_cold_dates_are_refused(cold_after: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load({"SEMLOOP_COLD_AFTER": cold_after})


def test_readers_see_each_row_once_while_dates_are_written_again(
    lake: Settings,
) -> None:
    table = written(lake, days=DAYS + 3)
    rows = ROWS * (DAYS + 3)
    done = threading.Event()
    counts: list[tuple[int, int]] = []

    def read() -> None:
        query = "SELECT count(*), count(DISTINCT kafka_offset) FROM events"
        with Lake(settings=lake) as opened:
            while not (counts and done.is_set()):
                counts.append(opened.sql(query).fetchall()[0])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        compact(lake)
        write(table, rows)
    finally:
        done.set()
        reader.join()
    assert {*counts} <= {(rows, rows), (rows + 3, rows + 3)}
    assert len(cold_files(table.storage)) == OLD_DATES + 3


def test_later_rows_of_an_old_date_are_added_to_a_cold_file_of_their_own(
    local: Settings,
) -> None:
    table = written(local)
    compact(local)
    (before,) = cold_files(table.storage)
    table.now = table.now.replace(hour=0) - (DAYS - 1) * DAY
    write(table, ROWS * DAYS, DAYS - 1)
    compact(local)
    assert before in cold_files(table.storage)
    assert len(cold_files(table.storage)) == 1 + OLD_DATES
    assert len(payloads(table.storage)) == ROWS * DAYS + 3
