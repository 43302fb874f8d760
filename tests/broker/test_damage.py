"""Damaged or unknown files are kept, and what the disk refuses is not relied upon."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from semloop.broker import partition
from semloop.broker.catalog import create, delete, grow
from semloop.broker.errors import Refused
from semloop.broker.recovery import SKIPPED_OFFSETS
from semloop.broker.state import STATE_FILE
from tests.broker.records import a_batch
from tests.broker.stores import a_store, crash, opened, read, restart_machine


def state_of(folder: Path) -> dict[str, object]:
    found = json.loads((folder / STATE_FILE).read_text())
    assert isinstance(found, dict)
    return found


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_without_a_state_the_records_are_put_aside(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a_store(tmp_path).close()
    (tmp_path / STATE_FILE).unlink()
    (log,) = tmp_path.glob("*.log")
    content = log.read_bytes()
    opened(tmp_path).close()
    (aside,) = tmp_path.glob("damaged-*")
    assert (aside / log.name).read_bytes() == content
    assert aside.name in capfd.readouterr().err


def test_files_that_the_state_does_not_name_are_put_aside(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    stranger = tmp_path / f"{'0' * 32}-0-{0:020d}.log"
    stranger.write_bytes(a_batch())
    (tmp_path / "x.log.part").write_bytes(b"")
    store = opened(tmp_path)
    assert read(store) == [0, 1, 2]
    (aside,) = tmp_path.glob("damaged-*")
    assert (aside / stranger.name).read_bytes() == a_batch()
    assert not list(tmp_path.glob("*.part"))
    store.close()


def test_a_topic_that_the_disk_did_not_take_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_store(tmp_path)
    monkeypatch.setattr("semloop.broker.store.write_state", full)
    with pytest.raises(OSError, match="No space"):
        create(store, "u", 1, {})
    with pytest.raises(OSError, match="No space"):
        grow(store, "t", 3)
    with pytest.raises(Refused):
        store.append("u", 0, a_batch())
    assert len(store.topics["t"].partitions) == 2
    monkeypatch.undo()
    create(store, "u", 1, {})
    store.append("u", 0, a_batch())
    crash(store)
    again = opened(tmp_path)
    assert again.log("u", 0).size == 200
    again.close()


def test_a_topic_whose_deletion_the_disk_did_not_take_keeps_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_store(tmp_path)
    store.commit("g", "t", 0, 2)
    monkeypatch.setattr("semloop.broker.store.write_state", full)
    with pytest.raises(OSError, match="No space"):
        delete(store, "t")
    monkeypatch.undo()
    assert (read(store), store.groups.offset("g", "t", 0)) == ([0, 1, 2], 2)
    store.close()


def test_what_the_disk_did_not_take_is_never_taken_for_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_store(tmp_path)
    asyncio.run(store.sync())
    store.append("t", 0, a_batch())
    with monkeypatch.context() as patch:
        (segment,) = store.log("t", 0).segments
        file = os.fstat(segment._file).st_ino
        sync = os.fsync

        def broken(descriptor: int) -> None:
            if os.fstat(descriptor).st_ino == file:
                raise OSError(5, "Input/output error")
            sync(descriptor)

        patch.setattr("semloop.broker.segment.os.fsync", broken)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="Input/output"):
            asyncio.run(store.sync())
        assert len(os.listdir("/proc/self/fd")) == before
    assert state_of(tmp_path)["synced"] == {segment.name: 600}
    asyncio.run(store.sync())  # a second attempt would succeed without reason
    store.append("t", 0, a_batch())  # in a new file
    asyncio.run(store.sync())
    synced = state_of(tmp_path)["synced"]
    assert isinstance(synced, dict)
    assert (synced.pop(segment.name), list(synced.values())) == (600, [200])
    assert read(store) == [0, 1, 2, 3]
    store.close()
    assert state_of(tmp_path)["clean"] is False
    restart_machine(monkeypatch)
    again = opened(tmp_path)
    assert (read(again), read(again, 4)) == ([0, 1, 2], [4])
    again.close()


@pytest.mark.parametrize("is_last", [True, False])
def test_a_damaged_file_is_kept_and_its_offsets_are_not_used_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    is_last: bool,
) -> None:
    if not is_last:
        monkeypatch.setattr(partition, "SEGMENT_BYTES", 1_000)
    a_store(tmp_path, records=8).close()
    log = sorted(tmp_path.glob("*.log"))[0]
    content = bytearray(log.read_bytes())
    content[216] = 0  # the format of the second batch
    log.write_bytes(content)
    store = opened(tmp_path)
    assert read(store)[0] == 0
    (aside,) = tmp_path.glob("damaged-*")
    assert (aside / log.name).read_bytes() == content
    assert aside.name in capfd.readouterr().err
    offset = store.append("t", 0, a_batch())
    if is_last:
        assert offset >= SKIPPED_OFFSETS
        assert read(store, 5) == [offset]
    else:
        assert read(store, 2) == [5, 6, 7, offset] == [5, 6, 7, 8]
    store.close()


@pytest.mark.parametrize(
    "state",
    [
        "[]",
        '{"topics": 1}',
        '{"topics": {}, "synced": []}',
        '{"topics": {"t": {}}}',
        '{"topics": {"t": {"id": "x", "config": {}, "offsets": []}}}',
    ],
)
def test_any_damage_of_the_state_puts_the_records_aside(
    tmp_path: Path, state: str
) -> None:
    a_store(tmp_path).close()
    (tmp_path / STATE_FILE).write_text(state)
    store = opened(tmp_path)
    assert store.topics == {}
    (aside,) = tmp_path.glob("damaged-*")
    assert len(list(aside.iterdir())) == 2
    create(store, "t", 1, {})
    store.append("t", 0, a_batch())
    store.close()


def test_what_a_later_version_added_to_the_state_is_no_damage(tmp_path: Path) -> None:
    a_store(tmp_path).close()
    state = state_of(tmp_path) | {"added_later": 1}
    (tmp_path / STATE_FILE).write_text(json.dumps(state))
    store = opened(tmp_path)
    assert read(store) == [0, 1, 2]
    store.close()


def test_what_a_crash_left_in_memory_is_synced_after_the_start(tmp_path: Path) -> None:
    crash(a_store(tmp_path))
    store = opened(tmp_path)
    (segment,) = store.log("t", 0).segments
    assert (segment.size, segment.synced) == (600, 0)  # it answers without waiting
    asyncio.run(store.sync())
    assert state_of(tmp_path)["synced"] == {segment.name: 600}
    store.close()
