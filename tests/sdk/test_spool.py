"""The file that holds events while the broker is away."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.agent.spool import Spool

EVENTS = st.lists(st.binary(max_size=50).map(lambda b: b.replace(b"\n", b"_") or b"x"))


@given(rounds=st.lists(st.tuples(EVENTS, st.integers(0, 5)), max_size=8))
def test_events_come_out_once_and_in_order(
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
        spool.taken(part)
        found += part
    while part := spool.head():
        spool.taken(part)
        found += part
    assert found == expected
    assert spool.empty
    spool.close()


def test_what_a_dead_process_left_is_adopted_by_one(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path, "b:1-t", 100)
    spool.append([b"one", b"two"])
    assert Spool.orphans(tmp_path, "b:1-t", 100) == []  # its owner lives
    os.write(os.open(next(tmp_path.iterdir()), os.O_APPEND | os.O_WRONLY), b"hal")
    spool.close()
    [orphan] = Spool.orphans(tmp_path, "b:1-t", 100)
    assert Spool.orphans(tmp_path, "b:1-t", 100) == []  # it has an owner again
    assert Spool.orphans(tmp_path, "b:1-other", 100) == []
    assert orphan.head() == [b"one", b"two"]  # half a line was never an event
    orphan.append([b"three"])
    assert orphan.head() == [b"one", b"two", b"three"]
    orphan.taken(orphan.head())
    orphan.close()
    assert list(tmp_path.iterdir()) == []


def test_it_holds_no_more_than_it_may_and_only_for_its_user(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path / "new", "b:1-t", 10)
    assert spool.append([b"12345", b"6789"]) == 1
    assert spool.append([b"123"]) == 1
    assert spool.head() == [b"12345", b"123"]
    file = next((tmp_path / "new").iterdir())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    spool.close()


def test_an_event_longer_than_one_read_comes_out_whole(tmp_path: Path) -> None:
    spool = Spool.new(tmp_path, "b:1-t", 2**23)
    long = b"x" * (3 * 2**20)
    spool.append([long, b"y"])
    assert spool.head() == [long]
    spool.taken([long])
    assert spool.head() == [b"y"]
    spool.close()
