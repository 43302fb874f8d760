"""Rows of overlapping files in offset order, spilled to disk if memory is short."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake.transaction import AddAction, RemoveAction

from schemas.arrow import EVENTS
from semloop.errors import StorageUnavailable
from sinks.delta import parquet_file
from sources.lake import ordered_rows
from tests.sources.events_table import EventsTable, open_reader, read_to_end


def write_crossing_files(table: EventsTable) -> None:
    """Write two files in opposite offset order in two partitions, like maintenance."""
    add: list[AddAction | RemoveAction] = []
    for rows in ([(0, 0), (1, 2), (1, 3)], [(0, 1), (0, 2), (1, 0), (1, 1)]):
        rows_written = pa.Table.from_pylist(
            [table.row(*row) for row in rows[::-1]], EVENTS
        )
        add.append(parquet_file.write_file(table.storage, "events", rows_written, 1))
    table.commit(reached={0: 2, 1: 3})
    handle = table.storage.open("events")
    handle.create_write_transaction(add, "append", handle.schema(), ["date"])


IN_ORDER = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("bytes_max", [1, 2**20], ids=["on disk", "in memory"])
@pytest.mark.parametrize("rows_max", [1, 2, 100])
def test_rows_of_crossing_files_are_returned_in_order(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch, bytes_max: int, rows_max: int
) -> None:
    monkeypatch.setattr(ordered_rows, "MEMORY_BYTES", bytes_max)
    monkeypatch.setattr(ordered_rows, "DECODED_ROWS", 2)
    write_crossing_files(table)
    table.commit((0, 3))
    reader = open_reader(table.storage, rows_max=rows_max)
    found = read_to_end(reader)
    assert [row for row in found if row[0] == 0] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert [row for row in found if row[0] == 1] == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_spill_files_are_unnamed_and_closed_with_the_reader(
    table: EventsTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_rows, "MEMORY_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = open_files()
    write_crossing_files(table)
    reader = open_reader(table.storage, rows_max=1)
    reader.poll()
    assert any(str(tmp_path) in name and "deleted" in name for name in open_files())
    assert [path.name for path in tmp_path.iterdir()] == ["la ke ü"]
    reader.close()
    assert open_files() == before
    assert read_to_end(reader) == IN_ORDER[1:]


def open_files() -> list[str]:
    found = []
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # The descriptor of the listing itself.
            found.append(os.readlink(file))
    return sorted(
        name for name in found if name.startswith("/") and "/proc" not in name
    )


def test_a_spill_error_is_reported_and_loses_no_row(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_rows, "MEMORY_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    write_crossing_files(table)
    reader = open_reader(table.storage)
    with pytest.raises(
        StorageUnavailable, match="sorted in /nowhere: No such"
    ) as error:
        reader.poll()
    assert "TMPDIR" in error.value.todo
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert read_to_end(reader) == IN_ORDER
