"""Guarantees of every sink; the sinks are listed in `sink_contract.SINKS`."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from semloop.delta.streams import NEVER_READ
from semloop.errors import StorageUnavailable, TakenOver
from semloop.storage.errors import CHECK_FOLDER
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable, RowsRejected
from sinks.delta.parquet_file import write_file
from sinks.delta.takeover import Takeover
from tests.sinks.sink_contract import NOON, SINKS, Sink, clean_log, foreign_commit
from tests.sinks.wrapped_log import ATTEMPTS, Interrupted, LosesReplies, Overtaken
from tests.support.builders import LOG, P0, P1, keyed

pytestmark = pytest.mark.usefixtures("fast_retries")

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@pytest.fixture(params=SINKS, ids=lambda sink: sink.name)
def sink(request: pytest.FixtureRequest) -> Sink:
    found: Sink = request.param
    return found


def names(sink: Sink, *partitions: int) -> set[str]:
    """Return the app ids that a commit of these partitions carries."""
    own = {LOG.app_id(sink.name, p) for p in partitions}
    return own | {name + "/fence" for name in own}


def transactions(sink: Sink, storage: Storage, version: int) -> dict[str, int]:
    """Return the numbers in an entry of the log."""
    entry = sink.log(storage) / f"{version:020}.json"
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    return {a["txn"]["appId"]: a["txn"]["version"] for a in actions if "txn" in a}


def test_rows_and_offsets_are_stored_in_one_commit(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    before = storage.open(sink.name).version()
    writer.commit(sink.rows(0, 3), keyed({0: 2}))
    after = storage.open(sink.name)
    assert after.version() == before + 1
    assert sink.offsets(storage) == [(0, 0), (0, 1), (0, 2)]
    app_id = LOG.app_id(sink.name, 0)
    assert after.transaction_version(app_id) == 2
    after.load_as_version(before)
    assert (after.file_uris(), after.transaction_version(app_id)) == ([], NEVER_READ)


def test_every_commit_carries_the_offsets_of_all_owned_partitions(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage, (0, 1, 2))
    writer.commit(sink.rows(0, 3), keyed({0: 2}))
    writer.commit(None, keyed({2: 7}))
    version = writer.handle.version()
    for back, offsets in ((0, (2, -1, 7)), (1, (2, -1, -1)), (2, (-1, -1, -1))):
        found = transactions(sink, storage, version - back)
        assert found.keys() == names(sink, 0, 1, 2)
        assert tuple(found[LOG.app_id(sink.name, p)] for p in range(3)) == offsets


def test_a_commit_without_rows_stores_offsets(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    for rows in (None, sink.rows(0, 0)):
        writer.commit(rows, keyed({0: writer.offsets[P0] + 10}))
    assert writer.stored(P0) == 19
    assert storage.open(sink.name).file_uris() == []


@pytest.mark.parametrize(
    "owned", [(0, 1), (1, 2)], ids=["the same partitions", "one of them"]
)
@pytest.mark.parametrize("moved", [True, False], ids=["rows", "offsets alone"])
def test_an_older_writer_is_rejected_and_writes_nothing(
    sink: Sink, storage: Storage, owned: tuple[int, ...], moved: bool
) -> None:
    older = sink.taken(storage)
    older.commit(sink.rows(0, 3), keyed({0: 2}))
    sink.taken(storage, owned)
    version = storage.open(sink.name).version()
    with pytest.raises(TakenOver, match=r"A newer copy .* partition [01]"):
        older.commit(sink.rows(3, 5) if moved else None, keyed({0: 4}))
    assert storage.open(sink.name).version() == version
    assert len(sink.offsets(storage)) == 3


def test_a_take_over_right_after_a_commit_is_detected(
    sink: Sink, storage: Storage
) -> None:
    log = sink.open_log(storage, Interrupted)
    older = sink.taken(storage, log=log)
    newer: list[FencedTable] = []
    log.then = lambda: newer.append(sink.taken(storage))
    with pytest.raises(TakenOver):
        older.commit(sink.rows(0, 2), keyed({0: 1}))
    # The commit before the take-over is stored, and the newer writer resumes after it.
    assert newer[0].offsets[P0] == 1
    newer[0].commit(sink.rows(2, 3), keyed({0: 2}))
    assert sink.offsets(storage) == [(0, 0), (0, 1), (0, 2)]


def test_writers_of_different_partitions_do_not_conflict(
    sink: Sink, storage: Storage
) -> None:
    first, second = sink.taken(storage, (0,)), sink.taken(storage, (1,))
    for offset in range(3):
        first.commit(sink.rows(offset, offset + 1), keyed({0: offset}))
        second.commit(sink.rows(offset, offset + 1, partition=1), keyed({1: offset}))
    assert sink.offsets(storage) == [(p, o) for p in (0, 1) for o in range(3)]


def test_the_newest_writer_resumes_where_its_predecessor_stopped(
    sink: Sink, storage: Storage
) -> None:
    older = sink.taken(storage)
    older.commit(sink.rows(0, 3), keyed({0: 2}))
    epochs = [older.epoch(P0)]
    for _ in range(2):
        newer = sink.taken(storage)
        epochs.append(newer.epoch(P0))
        assert newer.offsets == keyed({0: 2, 1: NEVER_READ})
    assert epochs == [1, 2, 3]
    newer.commit(sink.rows(3, 4), keyed({0: 3}))
    assert [offset for _, offset in sink.offsets(storage)] == [0, 1, 2, 3]


def test_the_offset_of_an_unread_partition_is_minus_one_and_stays_so(
    sink: Sink, storage: Storage
) -> None:
    assert sink.open(storage).stored(P0) is None
    for _ in range(2):
        writer = sink.taken(storage)
        assert writer.offsets == keyed({0: -1, 1: -1})
        assert (writer.stored(P0), writer.stored(P1)) == (-1, -1)


def test_a_worker_without_partitions_takes_nothing_over(
    sink: Sink, storage: Storage
) -> None:
    older = sink.taken(storage)
    assert sink.taken(storage, ()).offsets == {}
    older.commit(sink.rows(0, 1), keyed({0: 0}))


@pytest.mark.parametrize("rows", [True, False], ids=["rows", "offsets alone"])
def test_a_commit_whose_reply_was_lost_is_recognised(
    sink: Sink, storage: Storage, rows: bool
) -> None:
    retries: list[tuple[str, str]] = []
    retried = lambda table, cause: retries.append((table, cause))  # noqa: E731
    log = sink.open_log(storage, LosesReplies)
    writer = sink.taken(storage, log=log, on_retry=retried)
    for first in (0, 2):
        log.lose = 1
        writer.commit(
            sink.rows(first, first + 2) if rows else None, keyed({0: first + 1})
        )
    assert retries == [(sink.name, "moved")] * 2
    assert sink.offsets(storage) == ([(0, o) for o in range(4)] if rows else [])
    assert (writer.stored(P0), storage.open(sink.name).version()) == (3, 3)


def test_a_take_over_whose_reply_was_lost_is_retried(
    sink: Sink, storage: Storage
) -> None:
    log = sink.open_log(storage, LosesReplies)
    writer = sink.open(storage, log=log)
    log.lose = 1
    Takeover(writer, []).run()
    writer.commit(sink.rows(0, 1), keyed({0: 0}))
    assert writer.epoch(P0) == 2


def test_a_commit_is_retried_after_contention(sink: Sink, storage: Storage) -> None:
    causes: list[str] = []
    retried = lambda _, cause: causes.append(cause)  # noqa: E731
    log = sink.open_log(storage, Overtaken)
    writer = sink.taken(storage, log=log, on_retry=retried)
    log.rivals = 2
    writer.commit(sink.rows(0, 2), keyed({0: 1}))
    assert causes == ["contention"] * 2
    assert sink.offsets(storage) == [(0, 0), (0, 1)]


def test_a_rewrite_of_the_table_does_not_stop_its_writer(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 3), keyed({0: 2}))
    predicate = f"date = '{NOON.date().isoformat()}'"
    handle = storage.open(sink.name)
    write_deltalake(handle, sink.rows(0, 3), mode="overwrite", predicate=predicate)
    writer.commit(sink.rows(3, 4), keyed({0: 3}))
    assert [offset for _, offset in sink.offsets(storage)] == [0, 1, 2, 3]
    storage.open(sink.name).delete("kafka_offset = 0")
    writer.commit(None, keyed({0: 4}))
    assert [offset for _, offset in sink.offsets(storage)] == [1, 2, 3]
    assert storage.open(sink.name).transaction_version(LOG.app_id(sink.name, 0)) == 4


def test_an_idle_handle_whose_log_was_cleaned_recovers(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 3), keyed({0: 2}))
    clean_log(storage, sink.name)
    writer.commit(sink.rows(3, 4), keyed({0: 3}))
    assert [offset for _, offset in sink.offsets(storage)] == [0, 1, 2, 3]


def test_reopen_checks_and_keeps_ownership(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    for offset in range(4):
        writer.commit(sink.rows(offset, offset + 1), keyed({0: offset}))
        assert writer.commits_since_open == 1
        writer.reopen()
        assert writer.commits_since_open == 0
    assert len(sink.offsets(storage)) == 4
    sink.taken(storage)
    with pytest.raises(TakenOver):
        writer.reopen()


def test_an_offset_never_decreases(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    writer.commit(None, keyed({0: 7}))
    writer.commit(sink.rows(8, 9), keyed({0: 3, 1: 0}))
    assert (writer.stored(P0), writer.stored(P1)) == (7, 0)
    assert sink.taken(storage).offsets == keyed({0: 7, 1: 0})


@pytest.mark.parametrize("number", [INT64_MIN, -1, 0, 2**53 + 1, INT64_MAX])
def test_any_int64_is_unchanged_after_a_checkpoint(
    sink: Sink, storage: Storage, number: int
) -> None:
    writer = sink.taken(storage)
    writer.commit(None, keyed({0: number}), {(P0, "/kind"): number, (P1, "/kind"): 7})
    storage.open(sink.name).create_checkpoint()
    newer = sink.open(storage)
    assert (newer.stored(P0), newer.stored(P0, "/kind")) == (max(-1, number), number)
    assert (newer.stored(P1, "/kind"), newer.stored(P1, "/other")) == (7, None)


def test_a_file_without_a_log_entry_is_not_visible(
    sink: Sink, storage: Storage
) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 2), keyed({0: 1}))
    # A crash between the file and its entry; then the same records are read again.
    lost = write_file(storage, sink.name, sink.rows(2, 4))
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
    writer.commit(sink.rows(5, 8), keyed({0: 7}))
    writer.commit(sink.rows(0, 2, 1, session_id=None), keyed({1: 1}))
    actions = pa.table(storage.open(sink.name).get_add_actions(flatten=True))
    files = actions.sort_by("max.kafka_offset").to_pylist()
    wanted = ("num_records", "min.kafka_offset", "max.kafka_offset", "max.kafka_ts")
    assert [tuple(file[name] for name in wanted) for file in files] == [
        (2, 0, 1, sink.rows(1, 2)["kafka_ts"][0].as_py()),
        (3, 5, 7, sink.rows(7, 8)["kafka_ts"][0].as_py()),
    ]
    assert [file["null_count.session_id"] for file in files] == [2, 0]
    assert [file["partition.date"] for file in files] == [NOON.date()] * 2


def test_long_values_have_no_bounds_in_the_log(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    writer.commit(sink.rows(0, 1, session_id="s" * 65), keyed({0: 0}))
    foreign_commit(storage.open(sink.name), "other")
    entries = "".join(e.read_text() for e in sink.log(storage).glob("*.json"))
    assert "s" * 65 not in entries
