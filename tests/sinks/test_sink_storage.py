"""Every sink: files without a commit, storage that refuses, values read back."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from semloop.delta.streams import NEVER_READ
from semloop.errors import StorageUnavailable
from semloop.storage.errors import CHECK_FOLDER
from semloop.storage.location import Storage
from semloop.tables import TABLES
from sinks.delta.fenced_table import RowsRejected
from sinks.delta.parquet_file import write_file
from tests.sinks.sink_contract import INT64_MAX, NOON, Sink, foreign_commit
from tests.sinks.wrapped_log import ATTEMPTS
from tests.support.builders import P0, keyed

pytestmark = pytest.mark.usefixtures("fast_retries")


def test_a_file_without_a_log_entry_is_not_visible(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 2), keyed({0: 1}))
    # A crash between the file and its entry; then the same records are read again.
    lost = write_file(storage, sink.name, sink.rows(2, 4), 1)
    assert Path(storage.uri(sink.name), lost.path).exists()
    assert sink.read(storage)["kafka_offset"].to_pylist() == [0, 1]
    newer = sink.taken(storage)
    assert newer.offsets[P0] == 1
    newer.commit(sink.rows(2, 4), keyed({0: 3}))
    assert sink.offsets(storage) == [(0, o) for o in range(4)]


def test_a_partial_log_entry_under_a_temporary_name_is_ignored(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 2), keyed({0: 1}))
    (sink.log(storage) / f"{9:020}.json#1").write_text('{"add":{"path":"x')
    assert sink.taken(storage).offsets[P0] == 1
    assert sink.read(storage)["kafka_offset"].to_pylist() == [0, 1]


def block(sink: Sink, storage: Storage, what: str) -> Path:
    """Replace a folder by a file; missing permissions would not stop root."""
    day = f"date={NOON.date().isoformat()}"
    path = Path(storage.uri(sink.name), day if what == "rows" else "_delta_log")
    if path.exists():
        shutil.move(path, path.with_name("moved"))
    path.write_text("")
    return path


@pytest.mark.parametrize("what", ["rows", "log"])
def test_storage_that_keeps_refusing_is_reported_in_one_line(
    sink: Sink, storage: Storage, what: str
) -> None:
    causes: list[str] = []
    retried = lambda _, cause: causes.append(cause)  # noqa: E731
    writer = sink.taken(storage, retry_s=7.0, on_retry=retried)
    path = block(sink, storage, what)
    with pytest.raises(StorageUnavailable) as error:
        writer.commit(sink.rows(0, 2), keyed({0: 1}))
    start = f"Cannot commit to table {sink.name} in {storage.root}: "
    assert error.value.what.startswith(start)
    assert error.value.what.endswith(" (tried for 7 s)")
    assert "\n" not in error.value.what
    assert error.value.todo == CHECK_FOLDER
    assert len(causes) == ATTEMPTS
    path.unlink()
    if what == "log":
        shutil.move(path.with_name("moved"), path)
    assert sink.taken(storage).offsets[P0] == NEVER_READ
    assert sink.offsets(storage) == []


def test_storage_that_recovers_in_time_is_not_an_error(
    sink: Sink, storage: Storage
) -> None:
    blocked: list[Path] = []
    writer = sink.taken(storage, on_retry=lambda *_: blocked.pop().unlink())
    blocked.append(block(sink, storage, "rows"))
    writer.commit(sink.rows(0, 2), keyed({0: 1}))
    assert sink.offsets(storage) == [(0, 0), (0, 1)]


def not_utf8(rows: pa.Table) -> pa.Table:
    offsets = pa.array(["ab"] * rows.num_rows).buffers()[1]
    bad = pa.py_buffer(b"\xff\xfe" * rows.num_rows)
    column = pa.Array.from_buffers(pa.string(), rows.num_rows, [None, offsets, bad])
    return rows.set_column(rows.column_names.index("topic"), "topic", column)


def test_rejected_rows_leave_offsets_unchanged_and_the_writer_usable(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 2), keyed({0: 1}))
    version = writer.handle.version()
    for _ in range(2):
        with pytest.raises(RowsRejected) as error:
            writer.commit(not_utf8(sink.rows(2, 4)), keyed({0: 3}))
        assert str(error.value) == f"Table {sink.name} rejects rows: ArrowInvalid."
        assert writer.offsets == keyed({0: 1, 1: NEVER_READ})
    assert storage.open(sink.name).version() == version
    writer.commit(sink.rows(4, 5), keyed({0: 4}))
    assert [offset for _, offset in sink.offsets(storage)] == [0, 1, 4]


def test_values_of_every_type_are_read_back_unchanged(
    sink: Sink, storage: Storage
) -> None:
    empty: dict[str, Any] = {field.name: None for field in sink.schema}
    known = {"kafka_partition": 1, "kafka_offset": INT64_MAX, "date": NOON.date()}
    rows = pa.concat_tables(
        [sink.rows(0, 2), pa.Table.from_pylist([empty | known], sink.schema)]
    )
    sink.taken(storage).commit(rows, keyed({0: 1, 1: INT64_MAX}))
    assert sink.read(storage).to_pylist() == rows.to_pylist()
    files = sink.files(storage)
    plain = duckdb.read_parquet(files, hive_partitioning=True).to_arrow_table()
    columns = plain.select(sink.schema.names).cast(sink.schema)
    assert columns.sort_by("kafka_offset").equals(rows)
    stored = pa.schema(DeltaTable(storage.uri(sink.name)).schema().to_arrow())
    assert stored.remove_metadata().equals(sink.schema)


def test_statistics_of_a_file_match_its_rows(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    first = TABLES[sink.name].statistics[0]
    writer.commit(sink.rows(5, 8), keyed({0: 7}))
    writer.commit(sink.rows(0, 2, 1, **{first: None}), keyed({1: 1}))
    actions = pa.table(storage.open(sink.name).get_add_actions(flatten=True))
    files = actions.sort_by("max.kafka_offset").to_pylist()
    wanted = ("num_records", "min.kafka_offset", "max.kafka_offset", "max.kafka_ts")
    assert [tuple(file[name] for name in wanted) for file in files] == [
        (2, 0, 1, sink.rows(1, 2)["kafka_ts"][0].as_py()),
        (3, 5, 7, sink.rows(7, 8)["kafka_ts"][0].as_py()),
    ]
    assert [file[f"null_count.{first}"] for file in files] == [2, 0]
    assert [file["partition.date"] for file in files] == [NOON.date()] * 2


def test_long_values_have_no_bounds_in_the_log(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 1, session_id="s" * 65), keyed({0: 0}))
    foreign_commit(storage.open(sink.name), "other")
    entries = "".join(e.read_text() for e in sink.log(storage).glob("*.json"))
    assert "s" * 65 not in entries
