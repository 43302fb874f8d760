"""What a broker finds again: after an end, a crash, a power failure, and in a copy."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from semloop.broker.catalog import create, delete
from semloop.broker.errors import Code, Refused
from semloop.broker.recovery import SKIPPED_OFFSETS, Locked
from semloop.broker.state import NOTHING
from semloop.broker.store import UNREAD_S
from tests.broker.records import a_batch
from tests.broker.stores import GROUP, a_store, crash, opened, read, restart_machine


def test_everything_is_there_after_a_clean_end(tmp_path: Path) -> None:
    first = a_store(tmp_path / "log")
    first.commit("g", "t", 0, 2)
    first.close()
    second = opened(tmp_path / "log")
    assert second.topics["t"].id == first.topics["t"].id
    assert read(second) == [0, 1, 2]
    assert second.append("t", 0, a_batch()) == 3
    assert second.groups.offset("g", "t", 0) == 2
    assert second.groups.offset("g", "t", 1) == NOTHING
    second.close()


def test_topics_that_archive_does_not_read_get_a_share_of_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path / "log", bytes_max=4_000)
    for name in ("read", "renamed", "unread"):
        create(store, name, 1, {})

    def count(name: str) -> int:
        """Store until the broker refuses; return the number of records."""
        for number in range(100):
            if not has_room(name):
                return number
        return 100

    def has_room(name: str) -> bool:
        try:
            store.append(name, 0, a_batch())
        except Refused as refused:
            return refused.code is not Code.NOT_ENOUGH_REPLICAS
        return True

    store.append("renamed", 0, a_batch())
    # As long as nothing is known about `archive`, all topics are equal.
    assert count("unread") == 19
    store.delete_before("unread", 0, None)
    store.commit(GROUP, "renamed", 0, 0)
    now_s = time.monotonic() + 2 * UNREAD_S
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    store.commit(GROUP, "read", 0, 0)
    # 1,000 bytes for both, of which the one that was renamed has 200.
    assert (count("unread"), count("renamed")) == (4, 0)
    assert count("read") == 15
    store.close()


def test_the_oldest_files_of_a_topic_with_a_limit_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.broker.partition.SEGMENT_BYTES", 1_000)
    store = opened(tmp_path / "log")
    create(store, "limited", 1, {"retention.bytes": "2000"})
    create(store, "other", 1, {})
    for topic in ("limited", "other"):
        for _ in range(40):
            store.append(topic, 0, a_batch())
    store.make_room()
    limited, other = store.log("limited", 0), store.log("other", 0)
    assert 2_000 <= limited.size <= 3_000
    assert (limited.next_offset, limited.start_offset > 0) == (40, True)
    assert (other.start_offset, other.size) == (0, 8_000)
    store.close()


def test_after_a_crash_of_the_process_no_offset_is_lost_or_skipped(
    tmp_path: Path,
) -> None:
    first = a_store(tmp_path / "log")
    repeated = a_batch(2, producer=9)
    assert first.append("t", 0, repeated) == 3
    crash(first)
    (newest,) = [each for each in (tmp_path / "log").iterdir() if each.suffix == ".log"]
    with newest.open("ab") as file:
        file.write(a_batch()[:100])  # the process was killed while it appended
    second = opened(tmp_path / "log")
    assert read(second) == [0, 1, 2, 3]
    # The producer did not get the answer, and sends the batch again.
    assert second.append("t", 0, repeated) == 3
    assert second.append("t", 0, a_batch()) == 5
    assert read(second) == [0, 1, 2, 3, 5]
    second.close()


def test_after_a_power_failure_only_what_was_on_disk_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = a_store(tmp_path / "log")
    asyncio.run(first.sync())
    first.append("t", 0, a_batch())
    create(first, "u", 1, {})  # writes the state, but not what was appended
    for _ in range(3):
        first.append("t", 0, a_batch())  # `archive` may have stored their records
    crash(first)
    restart_machine(monkeypatch)
    second = opened(tmp_path / "log")
    assert read(second) == [0, 1, 2]
    # A reader that was ahead waits for what comes; no offset is given out twice.
    assert read(second, 7) == []
    offset = second.append("t", 0, a_batch())
    assert offset >= 3 + SKIPPED_OFFSETS
    assert read(second, 7) == [offset]
    assert read(second) == [0, 1, 2, offset]
    second.close()
    third = opened(tmp_path / "log")
    assert third.append("t", 0, a_batch()) == offset + 1
    third.close()


def test_after_a_clean_end_a_restart_of_the_machine_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_store(tmp_path / "log").close()
    restart_machine(monkeypatch)
    second = opened(tmp_path / "log")
    assert read(second) == [0, 1, 2]
    assert second.append("t", 0, a_batch()) == 3
    second.close()


@pytest.mark.parametrize(
    "copy", [shutil.copytree, lambda a, b: shutil.copytree(a, b, copy_function=link)]
)
def test_a_copy_of_a_folder_in_use_gives_out_no_offset_of_the_original(
    tmp_path: Path, copy: Callable[[Path, Path], object]
) -> None:
    original = a_store(tmp_path / "log")
    copy(tmp_path / "log", tmp_path / "copy")
    original.append("t", 0, a_batch())
    copied = opened(tmp_path / "copy")
    assert read(copied)[:3] == [0, 1, 2]
    assert copied.append("t", 0, a_batch()) >= 3 + SKIPPED_OFFSETS
    assert read(original) == [0, 1, 2, 3]
    assert original.append("t", 0, a_batch()) == 4
    assert read(original) == [0, 1, 2, 3, 4]
    copied.close()
    original.close()


def link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def test_only_one_broker_uses_a_folder(tmp_path: Path) -> None:
    store = a_store(tmp_path / "log")
    with pytest.raises(Locked):
        opened(tmp_path / "log")
    store.close()
    opened(tmp_path / "log").close()


def test_a_damaged_state_puts_the_records_aside(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a_store(tmp_path / "log").close()
    (tmp_path / "log" / "state.json").write_text("{")
    second = opened(tmp_path / "log")
    assert second.topics == {}
    (aside,) = (tmp_path / "log").glob("damaged-*")
    assert len(list(aside.iterdir())) == 2
    assert aside.name in capfd.readouterr().err
    second.close()


def test_files_are_private_and_a_deleted_topic_leaves_none(tmp_path: Path) -> None:
    store = a_store(tmp_path / "log")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    modes = {each.stat().st_mode & 0o777 for each in (tmp_path / "log").iterdir()}
    assert modes == {0o600}
    delete(store, "t")
    assert [each.name for each in (tmp_path / "log").iterdir()] == ["state.json"]
    store.close()


def test_what_does_not_fit_is_refused_until_the_group_has_committed(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path / "log", bytes_max=1_000)
    create(store, "t", 2, {})
    for _ in range(5):
        store.append("t", 0, a_batch())
    with pytest.raises(Refused) as refused:
        store.append("t", 1, a_batch())
    assert refused.value.code is Code.NOT_ENOUGH_REPLICAS
    store.commit("another", "t", 0, 5)
    store.commit(GROUP, "t", 0, 4)
    with pytest.raises(Refused):
        store.append("t", 1, a_batch())
    assert read(store) == [0, 1, 2, 3, 4]
    store.commit(GROUP, "t", 0, 5)
    assert store.append("t", 1, a_batch()) == 0
    assert store.size == 200
    store.close()


def test_what_was_committed_is_deleted_at_the_end_and_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_store(tmp_path / "log")
    store.append("t", 1, a_batch())
    store.commit(GROUP, "t", 0, 3)
    store.make_room()
    assert store.size == 800  # who watches the topic can still read it
    monkeypatch.setattr("semloop.broker.store.KEEP_S", 0.0)
    store.make_room()
    assert store.size == 200
    store.append("t", 0, a_batch())
    store.commit(GROUP, "t", 0, 4)
    store.close()
    again = opened(tmp_path / "log")
    assert again.size == 200
    assert again.append("t", 0, a_batch()) == 4
    again.close()


def test_offsets_of_too_many_groups_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.broker.state.GROUPS_MAX", 2)
    store = a_store(tmp_path / "log")
    for name in "abc":
        store.commit(name, "t", 0, 1)
    assert list(store.groups.offsets) == ["b", "c"]
    store.close()


def test_the_state_names_what_is_on_disk(tmp_path: Path) -> None:
    a_store(tmp_path / "log").close()
    state = json.loads((tmp_path / "log" / "state.json").read_text())
    assert state["clean"] is True
    assert list(state["synced"].values()) == [600]
    assert state["topics"]["t"]["offsets"] == [[0, 3], [0, 0]]
