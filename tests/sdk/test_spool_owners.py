"""Rare moments of the spool: locks, descriptors, the end of a process, long names."""

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from semloop.agent.spool.folder import Owner, tidy
from semloop.agent.spool.names import spool_name
from semloop.agent.spool.orphans import Orphans
from semloop.agent.spool.reader import Reader
from semloop.agent.spool.segment import Segment
from semloop.settings import load
from tests.sdk.spooled import Drops, a_writer, events_of, left_events

NAME = "b:1-t"


def test_a_lock_that_another_process_removed_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    removed: list[Path] = []

    def late(descriptor: int, how: int) -> None:
        """Lock after a process that searches has found the new file."""
        if not removed:
            removed.extend(tmp_path.glob("*.lock"))
            for path in removed:
                path.unlink()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    owner = Owner.new(tmp_path, NAME)
    monkeypatch.undo()
    [path] = tmp_path.glob("*.lock")
    assert [path] != removed
    with pytest.raises(BlockingIOError):
        Owner(tmp_path, owner.stem)
    owner.remove()


@pytest.mark.parametrize("live", [True, False])
def test_a_host_without_descriptors_loses_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, live: bool
) -> None:
    writer = a_writer(tmp_path)
    for number in range(300):
        writer.append(b"s", b"%d" % number * 400)
    drops = Drops()
    if live:
        reader = Reader(writer.chain, drops, live=True)
        reader.rewind()  # after an outage only the newest segment stays mapped
    else:
        writer.release()
        orphan = Orphans(tmp_path, [NAME], drops).next()
        assert orphan is not None
        reader = orphan.reader

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", full)
    assert reader.take() is None
    stalled = [reader.is_stalled]
    monkeypatch.undo()
    assert [int(e[: len(e) // 400]) for e in events_of(reader)] == list(range(300))
    assert [*stalled, reader.is_stalled] == [True, False]
    assert not drops


def test_events_that_are_emitted_during_the_end_have_a_lock_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer(tmp_path)
    writer.append(b"s", b"one")
    unsent = Segment.unsent

    def emit_meanwhile(segment: Segment) -> int:
        if segment.size:
            writer.append(b"s", b"two")
        return unsent(segment)

    monkeypatch.setattr(Segment, "unsent", emit_meanwhile)
    assert writer.close() == 0
    monkeypatch.undo()
    # What is left belongs to an ended owner, and what is new does not.
    assert left_events(tmp_path) == [b"one"]
    writer.append(b"s", b"three")
    writer.release()
    assert left_events(tmp_path) == [b"two", b"three"]


def test_a_long_list_of_brokers_makes_no_long_file_name(tmp_path: Path) -> None:
    brokers = ",".join(
        f"b-{n}.cluster.abcdef.c2.kafka.example.com:9092" for n in range(6)
    )
    names = {
        spool_name(load({}, kafka=f"{brokers},{last}", topic="t" * 249))
        for last in ("a:1", "b:1")
    }
    assert len(names) == 2
    for name in names:
        writer = a_writer(tmp_path, name)
        assert writer.append(b"s", b"one") is None
        writer.release()
        assert left_events(tmp_path, name) == [b"one"]


def test_locks_of_any_broker_without_segments_are_removed(
    tmp_path: Path,
) -> None:
    for name in (NAME, "gone:1-other"):
        Owner.new(tmp_path, name).release()
    running = Owner.new(tmp_path, "gone:1-other")
    ended = a_writer(tmp_path, "gone:1-other")
    ended.append(b"s", b"one")
    ended.release()
    kept = {running.stem, min(tmp_path.glob("*.seg")).name[:-11]}
    Orphans(tmp_path, [NAME], Drops()).search()
    assert {path.name[:-5] for path in tmp_path.glob("*.lock")} == kept
    running.remove()


def test_a_lock_that_is_being_created_is_not_lost_to_a_search(tmp_path: Path) -> None:
    ended = threading.Event()

    def search() -> None:
        while not ended.is_set():
            tidy(tmp_path)

    searching = threading.Thread(target=search)
    searching.start()
    try:
        for _ in range(300):
            owner = Owner.new(tmp_path, NAME)
            assert (tmp_path / f"{owner.stem}.lock").exists()
            with pytest.raises(BlockingIOError):
                Owner(tmp_path, owner.stem)
            owner.remove()
    finally:
        ended.set()
        searching.join()
    assert list(tmp_path.iterdir()) == []
