"""Offsets of deleted and lost records: never used again, and never in a reader's way."""

import asyncio
from pathlib import Path

import pytest

from semloop.broker.catalog import create
from semloop.broker.errors import Code, Refused
from semloop.broker.recovery import SKIPPED_OFFSETS
from tests.broker.records import a_batch
from tests.broker.stores import GROUP, a_store, crash, opened, read, restart_machine


def test_a_reader_at_the_end_of_an_empty_log_continues_after_a_power_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = a_store(tmp_path / "log")
    first.commit(GROUP, "t", 0, 3)
    first.close()
    crash(opened(tmp_path / "log"))
    restart_machine(monkeypatch)
    second = opened(tmp_path / "log")
    assert second.size == 0
    assert read(second, 3) == []
    offset = second.append("t", 0, a_batch())
    assert offset >= 3 + SKIPPED_OFFSETS
    assert read(second, 3) == [offset]
    with pytest.raises(Refused):
        read(second, 2)
    crash(second)
    third = opened(tmp_path / "log")
    assert read(third, 3) == [offset]
    assert third.append("t", 0, a_batch()) == offset + 1
    third.close()


def test_a_reader_in_a_gap_continues_although_what_was_before_it_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = a_store(tmp_path / "log")
    asyncio.run(first.sync())
    first.append("t", 0, a_batch())
    crash(first)
    restart_machine(monkeypatch)
    second = opened(tmp_path / "log")
    second.commit(GROUP, "t", 0, 4)  # the lake has the record that the log lost
    monkeypatch.setattr("semloop.broker.store.KEEP_S", 0.0)
    second.make_room()
    assert second.size == 0
    assert read(second, 4) == []
    offset = second.append("t", 0, a_batch())
    assert offset >= SKIPPED_OFFSETS
    assert read(second, 4) == [offset]
    second.close()
    third = opened(tmp_path / "log")
    assert read(third, 4) == [offset]
    third.close()


def test_offsets_of_deleted_records_are_not_given_out_again_after_a_crash(
    tmp_path: Path,
) -> None:
    first = opened(tmp_path / "log", bytes_max=1_000)
    create(first, "t", 2, {})
    for _ in range(5):
        first.append("t", 0, a_batch())
    first.commit(GROUP, "t", 0, 5)
    assert first.append("t", 1, a_batch()) == 0  # makes room
    assert first.size == 200
    crash(first)
    second = opened(tmp_path / "log")
    assert second.log("t", 0).start_offset == 5
    assert second.append("t", 0, a_batch()) == 5
    second.close()


def test_a_deletion_is_written_to_the_state(tmp_path: Path) -> None:
    first = a_store(tmp_path / "log")
    asyncio.run(first.sync())
    assert first.delete_before("t", 0, 2) == 2
    asyncio.run(first.sync())
    crash(first)
    second = opened(tmp_path / "log")
    assert second.log("t", 0).start_offset == 2
    second.close()


def test_readers_learn_that_files_were_removed_by_hand(tmp_path: Path) -> None:
    a_store(tmp_path / "log").close()
    for file in (tmp_path / "log").glob("*.log"):
        file.unlink()
    store = opened(tmp_path / "log")
    with pytest.raises(Refused) as refused:
        read(store, 0)
    assert refused.value.code is Code.OFFSET_OUT_OF_RANGE
    assert store.append("t", 0, a_batch()) == 3
    store.close()
