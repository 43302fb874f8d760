"""The file that stores events while the broker is unavailable."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.agent.spool import Spool

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


def test_only_one_process_adopts_the_file_of_a_dead_one(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path, "b:1-t", 100)
    spool.append([b"one", b"two"])
    assert Spool.orphans(tmp_path, "b:1-t", 100) == []  # its owner is alive
    os.write(os.open(next(tmp_path.iterdir()), os.O_APPEND | os.O_WRONLY), b"hal")
    spool.close()
    [orphan] = Spool.orphans(tmp_path, "b:1-t", 100)
    assert Spool.orphans(tmp_path, "b:1-t", 100) == []  # it has an owner again
    assert Spool.orphans(tmp_path, "b:1-other", 100) == []
    assert orphan.head() == [b"one", b"two"]  # the truncated line is ignored
    orphan.append([b"three"])
    assert orphan.head() == [b"one", b"two", b"three"]
    orphan.acknowledge(orphan.head())
    orphan.close()
    assert list(tmp_path.iterdir()) == []


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
