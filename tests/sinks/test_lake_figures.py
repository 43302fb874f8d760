"""What a flow measures of its tables and of maintenance."""

from datetime import date, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from schemas.metrics import Metrics
from semloop.boot_clock import Moment
from semloop.flow_registry import ARCHIVE, COMPACT, INDEX
from semloop.progress.activity import Activity, file_name
from semloop.settings import load
from semloop.storage.location import Storage
from sinks.lake_figures import LakeFigures, delta_size

DAY = date(2026, 11, 20)
NOW = Moment(1_800_000_000_000, None)


def test_small_files_are_those_that_share_their_date(tmp_path: Path) -> None:
    for days in (0, 0, 0, 1):
        day = DAY + timedelta(days)
        rows = pa.table({"date": pa.array([day]), "n": [1]})
        write_deltalake(str(tmp_path), rows, mode="append", partition_by=["date"])
    size = delta_size("events", DeltaTable(str(tmp_path)))
    assert (size.files, size.small_files) == (4, 3)
    assert size.bytes == sum(f.stat().st_size for f in tmp_path.rglob("*.parquet"))


def test_the_age_of_maintenance_is_that_of_its_last_end(tmp_path: Path) -> None:
    settings = load({}, lake=str(tmp_path))
    storage, metrics = Storage.of(settings), Metrics()
    runs = {
        # It ended two minutes ago; this one began to fail, or to work, a minute ago.
        COMPACT: Activity(NOW.wall_ms - 60_000, caught_up_ms=NOW.wall_ms - 120_000),
        INDEX: Activity(NOW.wall_ms - 30_000, ended=True),
    }
    for flow, run in runs.items():
        storage.replace(file_name(flow.name, 0), msgspec.json.encode(run))
    figures = LakeFigures(ARCHIVE.name, settings, storage, metrics, lambda: NOW)
    figures.measure_if_due(lambda: ())

    def value(name: str, flow: str) -> int:
        return int(metrics.value(f"semloop_{name}", flow=flow))

    assert value("maintenance_age_seconds", "compact") == 120
    assert value("maintenance_unfinished_seconds", "compact") == 60
    assert value("maintenance_age_seconds", "index") == 30
    assert value("maintenance_unfinished_seconds", "index") == 0
    assert value("maintenance_interval_seconds", "compact") == 60
    assert 0 < metrics.value("semloop_disk_used_ratio", flow="archive") < 1
