"""A merged file has exactly the rows of the others, in the declared format."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import Field
from deltalake.schema import PrimitiveType

from schemas.compaction import MergedFile
from semloop.delta.last_offsets import last_offsets
from semloop.errors import LakeError
from semloop.storage.location import Storage
from sinks.compaction import merged_file
from sinks.compaction.log_entry import Outcome
from sinks.compaction.merged_file import write_merged
from tests.sinks.compacting import (
    SteppedStorage,
    commit,
    compact,
    due,
    file_count,
    rows_in_files,
)
from tests.sinks.sink_contract import Sink
from tests.sources.events_table import EventsTable
from tests.support.builders import LOG, keyed

NULLABLE = ("session_id", "user_id", "headers", "tags", "reward", "payload", "ts")
ROWS = [(0, 0), (1, 0), (1, 1), (0, 1), (1, 2)]


def merged(storage: Storage) -> tuple[MergedFile, pq.ParquetFile]:
    """Write one row per commit, and merge them."""
    table = EventsTable(storage, step=timedelta(seconds=1))
    for row in ROWS:
        table.commit(row)
    (merge,) = due(storage)
    file = write_merged(storage, merge)
    return file, pq.ParquetFile(Path(storage.uri("events"), file.path))


def test_every_type_and_value_survives(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    for first in (0, 3):
        writer.commit(sink.rows(first, first + 3), keyed({0: first + 2}))
    without_values: dict[str, Any] = dict.fromkeys(NULLABLE)
    writer.commit(sink.rows(6, 7, **without_values), keyed({0: 6}))
    before = sink.read(storage)
    assert compact(storage, sink.name) == [Outcome.COMMITTED]
    assert file_count(storage, sink.name) == 1
    assert sink.read(storage).equals(before)
    writer.commit(sink.rows(7, 8), keyed({0: 7}))
    assert sink.offsets(storage) == [(0, offset) for offset in range(8)]


def test_rows_are_sorted_in_small_row_groups(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged_file, "GROUP_ROWS", 2)
    monkeypatch.setattr(merged_file, "BATCH_ROWS", 2)
    file, parquet = merged(storage)
    times = parquet.read(["ts"])["ts"].to_pylist()
    assert times == sorted(times)
    assert file.size_bytes == Path(storage.uri("events"), file.path).stat().st_size
    rows = [
        parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)
    ]
    assert sum(rows) == len(ROWS)
    assert len(rows) >= 2


def test_large_rows_make_small_row_groups(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged_file, "GROUP_BYTES", 1)
    monkeypatch.setattr(merged_file, "BATCH_ROWS", 1)
    _, parquet = merged(storage)
    assert parquet.num_row_groups > 1
    assert parquet.metadata.num_rows == len(ROWS)


def test_the_footer_has_the_last_offset_of_each_partition(storage: Storage) -> None:
    _, parquet = merged(storage)
    assert last_offsets(parquet.metadata.metadata) == keyed({0: 1, 1: 2})


def test_bounds_are_those_that_a_flow_writes(storage: Storage) -> None:
    file, _ = merged(storage)
    commit(storage, file)
    stored = pa.table(storage.open("events").get_add_actions(flatten=True))
    (found,) = stored.to_pylist()
    bounds = (found["min.kafka_offset"], found["max.kafka_offset"])
    assert (found["num_records"], *bounds) == (len(ROWS), 0, 2)
    assert found["max.topic_id"] == LOG.topic_id
    # `session_id` is null in every row.
    nulls = (found["null_count.session_id"], found["null_count.ts"])
    assert nulls == (len(ROWS), 0)
    assert found["max.ingested_at"] is not None


def test_a_bloom_filter_finds_the_row_group_of_an_id(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged_file, "GROUP_ROWS", 1)
    monkeypatch.setattr(merged_file, "BATCH_ROWS", 1)
    _, parquet = merged(storage)
    path = Path(storage.uri("events")).glob("date=*/compacted-*").__next__()
    query = f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{path}', 'event_id', '1-1')"
    excluded = [row[0] for row in duckdb.sql(query).fetchall()]
    assert len(excluded) == parquet.num_row_groups == len(ROWS)
    assert excluded.count(False) == 1


def test_columns_that_old_files_lack_are_null(storage: Storage) -> None:
    table = EventsTable(storage)
    table.commit((0, 0))
    (old,) = table.files()
    rows = pq.ParquetFile(old).read().drop_columns(["trace_id", "session_id"])
    pq.write_table(rows, old)
    table.commit((0, 1))
    assert compact(storage) == [Outcome.COMMITTED]
    (path,) = Path(storage.uri("events")).glob("date=*/compacted-*")
    found = pq.ParquetFile(path).read(["kafka_offset", "trace_id"]).to_pylist()
    assert sorted(row["kafka_offset"] for row in found) == [0, 1]
    assert {row["trace_id"] for row in found} == {None}


def test_a_column_of_a_newer_program_is_not_dropped(storage: Storage) -> None:
    table = EventsTable(storage)
    table.commit((0, 0))
    table.commit((0, 1))
    (old, _) = table.files()
    rows = pq.ParquetFile(old).read()
    pq.write_table(rows.append_column("future", pa.array(["a value"])), old)
    with pytest.raises(LakeError, match="does not know: future") as refused:
        compact(storage)
    assert refused.value.todo == "Install a newer semloop."
    future = Field("other_future", PrimitiveType("string"))
    storage.open("events").alter.add_columns([future])
    with pytest.raises(LakeError, match="does not know: other_future"):
        due(storage)


def test_a_file_with_other_values_is_not_committed(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = EventsTable(storage)
    table.commit((0, 0))
    table.commit((0, 1))
    real = merged_file._with_schema
    monkeypatch.setattr(
        merged_file,
        "_with_schema",
        lambda batch, schema: real(batch.drop_columns(["tags"]), schema),
    )
    with pytest.raises(LakeError, match="would change rows"):
        compact(storage)


def test_a_file_with_other_rows_is_not_committed(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = EventsTable(storage)
    table.commit((0, 0), (0, 1))
    table.commit((0, 2))
    real = merged_file._with_schema
    monkeypatch.setattr(
        merged_file, "_with_schema", lambda batch, schema: real(batch.slice(1), schema)
    )
    version = storage.open("events").version()
    with pytest.raises(LakeError, match="would change rows"):
        compact(storage)
    assert storage.open("events").version() == version
    assert rows_in_files(storage) == [(0, 0), (0, 1), (0, 2)]


def test_a_full_temporary_folder_is_named(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    table = EventsTable(storage)
    table.commit((0, 0))
    table.commit((0, 1))
    monkeypatch.setattr(pq, "ParquetWriter", full)
    with pytest.raises(LakeError, match="No space left on device"):
        compact(storage)


def test_rows_that_need_more_memory_get_it(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter(merged_file.MEMORY_MB[1:])

    def fail(*args: Any) -> None:
        """Fail as DuckDB does while Arrow fetches its rows."""
        if next(failures, None):
            msg = "Out of Memory Error: failed to pin block"
            raise OSError(msg)

    monkeypatch.setattr(merged_file, "renew_keys", fail)
    _, parquet = merged(storage)
    assert parquet.metadata.num_rows == len(ROWS)
    failures = iter(merged_file.MEMORY_MB)
    with pytest.raises(LakeError, match="need more than 768 MB of memory"):
        merged(Storage(f"{storage.root} 2"))


@pytest.mark.usefixtures("fast_retries")
def test_an_upload_is_repeated_without_sorting_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorts, left = [], iter(range(2))
    real = merged_file._sort

    def sort(*args: Any) -> None:
        sorts.append(args)
        real(*args)

    monkeypatch.setattr(merged_file, "_sort", sort)

    def fail(method: str, name: str) -> None:
        if method == "put_file" and next(left, None) is not None:
            raise TimeoutError

    table = EventsTable(storage)
    table.commit((0, 0))
    table.commit((0, 1))
    (merge,) = due(storage)
    stepped = SteppedStorage(storage.root, before=fail)
    file = write_merged(stepped, merge, retry_s=60)
    assert commit(storage, file) is Outcome.COMMITTED
    assert len(sorts) == 1


def test_an_error_of_duckdb_names_the_date_and_no_value(storage: Storage) -> None:
    table = EventsTable(storage)
    table.commit((0, 0))
    table.commit((0, 1))
    (old, _) = table.files()
    rows = pq.ParquetFile(old).read()
    at = rows.schema.get_field_index("reward")
    pq.write_table(rows.set_column(at, "reward", pa.array(["a value"])), old)
    with pytest.raises(
        LakeError, match=r"of events of 20\d\d-.* cannot be merged"
    ) as e:
        compact(storage)
    assert "a value" not in str(e.value)


def test_statistics_are_text_that_duckdb_reads(storage: Storage) -> None:
    file, _ = merged(storage)
    assert json.loads(json.dumps(file.statistics)) == file.statistics
