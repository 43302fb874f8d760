"""The file that stores events while the broker is unavailable."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.agent.spool import Spool, spool_paths

EVENTS = st.lists(st.binary(max_size=50).map(lambda b: b.replace(b"\n", b"_") or b"x"))


@given(rounds=st.lists(st.tuples(EVENTS, st.integers(0, 5)), max_size=8))
def test_a_spool_returns_each_event_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[tuple[list[bytes], int]],
) -> None:
    spool = Spool.new(tmp_path_factory.mktemp("spool"), "b:1-t", 2**20)
    expected: list[bytes] = []
    found: list[bytes] = []
    for events, take in rounds:
        assert spool.append(events) == len(events)
        expected += events
        part = spool.head()[:take]
        spool.acknowledge(part)
        found += part
    while part := spool.head():
        spool.acknowledge(part)
        found += part
    assert found == expected
    assert spool.empty
    spool.close()


def adopted(folder: Path, name: str = "b:1-t") -> Spool | None:
    return Spool.adopt(spool_paths(folder, [name]), 100)


def test_only_one_process_adopts_the_file_of_a_dead_one(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path, "b:1-t", 100)
    spool.append([b"one", b"two"])
    assert adopted(tmp_path) is None  # its owner is alive
    os.write(os.open(next(tmp_path.iterdir()), os.O_APPEND | os.O_WRONLY), b"hal")
    spool.close()
    orphan = adopted(tmp_path)
    assert orphan is not None
    assert adopted(tmp_path) is None  # it has an owner again
    assert adopted(tmp_path, "b:1-other") is None
    assert orphan.head() == [b"one", b"two"]  # the truncated line is ignored
    orphan.append([b"three"])
    assert orphan.head() == [b"one", b"two", b"three"]
    orphan.acknowledge(orphan.head())
    orphan.close()
    assert list(tmp_path.iterdir()) == []


def test_files_are_adopted_one_at_a_time_the_oldest_first(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        path = tmp_path / f"n{number % 2}.1.{number}.jsonl"
        path.write_bytes(b"%d\n" % number)
        os.utime(path, (number, number))
    paths = spool_paths(tmp_path, ["n0", "n1", "n0"])
    open_files = len(os.listdir("/proc/self/fd"))
    for number in range(3):
        found = Spool.adopt(paths, 100)
        assert found is not None
        assert found.head() == [b"%d" % number]
        assert len(os.listdir("/proc/self/fd")) == open_files + 1
        found.release()
    assert Spool.adopt(paths, 100) is None


def test_a_file_that_was_sent_meanwhile_is_not_created_again(tmp_path: Path) -> None:
    Spool.new(tmp_path, "b:1-t", 100).close()
    spool = Spool.new(tmp_path, "b:1-t", 100)
    spool.append([b"one"])
    paths = spool_paths(tmp_path, ["b:1-t"])
    spool.acknowledge(spool.head())
    spool.close()
    assert Spool.adopt(paths, 100) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "hanging link", "folder", "pipe"])
def test_only_regular_files_are_adopted_and_no_link_is_followed(
    tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "target.txt"
    path = tmp_path / "spool" / "b_1-t.1.a.jsonl"
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
    if kind == "link":
        target.write_bytes(b"precious, without a line break")
    assert adopted(path.parent) is None
    if kind == "link":
        assert target.read_bytes() == b"precious, without a line break"
    else:
        assert not target.exists()


def test_a_spool_respects_its_maximum_size_and_is_private(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path / "new", "b:1-t", 10)
    assert spool.append([b"12345", b"6789"]) == 1
    assert spool.append([b"123"]) == 1
    assert spool.head() == [b"12345", b"123"]
    file = next((tmp_path / "new").iterdir())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    spool.close()


def test_a_spool_returns_an_event_longer_than_one_read(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path, "b:1-t", 2**23)
    long = b"x" * (3 * 2**20)
    spool.append([long, b"y"])
    assert spool.head() == [long]
    spool.acknowledge([long])
    assert spool.head() == [b"y"]
    spool.close()
