"""Parquet files follow the declarations in `semloop.tables`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake.transaction import AddAction

from schemas.arrow import DEAD_LETTERS
from semloop import tables
from semloop.storage.location import Storage
from sinks.delta.commit_columns import with_commit_columns
from sinks.delta.parquet_file import write_file
from tests.support.builders import NOW, decoded_rows

OFFSETS = [5, 1, 9]


def letters() -> pa.Table:
    decoded = decoded_rows([], [(0, offset) for offset in OFFSETS], {})
    return with_commit_columns(
        pa.Table.from_batches([decoded.dead_letters]), DEAD_LETTERS, NOW
    )


def written(folder: Path, **spec: Any) -> tuple[AddAction, Path]:
    """Write a file of dead letters with some declarations of the table replaced."""
    with pytest.MonkeyPatch.context() as patch:
        table = replace(tables.TABLES["dead_letters"], **spec)
        patch.setitem(tables.TABLES, "dead_letters", table)
        action = write_file(Storage(str(folder)), "dead_letters", letters(), 1)
    return action, folder / "dead_letters" / action.path


def test_only_declared_columns_have_bounds_in_the_log(tmp_path: Path) -> None:
    action, _ = written(tmp_path, statistics=("kafka_offset", "kafka_ts"))
    assert action.stats is not None
    found = json.loads(action.stats)
    assert found["minValues"].keys() == {"kafka_offset", "kafka_ts"}
    assert (found["minValues"]["kafka_offset"], found["numRecords"]) == (1, 3)
    assert found["maxValues"]["kafka_offset"] == 9


def test_a_file_is_partitioned_as_declared(tmp_path: Path) -> None:
    action, path = written(tmp_path)
    assert action.partition_values == {"date": NOW.date().isoformat()}
    columns = duckdb.read_parquet(str(path), hive_partitioning=False).columns
    assert columns == [name for name in tables.DEAD_LETTERS if name != "date"]


@pytest.mark.parametrize(
    ("sort_by", "order"), [((), OFFSETS), (("kafka_offset",), sorted(OFFSETS))]
)
def test_rows_are_sorted_as_declared(
    tmp_path: Path, sort_by: tuple[str, ...], order: list[int]
) -> None:
    _, path = written(tmp_path, sort_by=sort_by)
    rows = duckdb.sql(f"SELECT kafka_offset FROM read_parquet('{path}')").fetchall()
    assert [offset for (offset,) in rows] == order


@pytest.mark.parametrize("columns", [(), ("id", "session_id")])
def test_declared_columns_have_a_bloom_filter(
    tmp_path: Path, columns: tuple[str, ...]
) -> None:
    _, path = written(tmp_path, bloom_filters=columns)
    query = (
        f"SELECT path_in_schema FROM parquet_metadata('{path}') "
        "WHERE bloom_filter_offset IS NOT NULL"
    )
    assert {name for (name,) in duckdb.sql(query).fetchall()} == {*columns}


def test_every_declared_column_is_a_column_of_its_table() -> None:
    for table in tables.TABLES.values():
        declared = {*table.partition_by, *table.statistics, *table.sort_by}
        declared |= {*table.bloom_filters, *table.dictionaries}
        assert declared <= table.columns.keys(), table.name
