"""Rare moments of the spool: locks, descriptors, the end of a process, long names."""

import errno
import fcntl
import math
import os
import shutil
import threading
from pathlib import Path

import pytest

from semloop.agent.spool import segment as segments
from semloop.agent.spool.folder import Lock, Owner, tidy
from semloop.agent.spool.layout import MAGIC
from semloop.agent.spool.names import spool_name
from semloop.agent.spool.orphans import Orphans
from semloop.agent.spool.reader import Reader
from semloop.agent.spool.segment import Segment
from semloop.settings import load
from tests.sdk.spooled import Drops, a_writer, events_of, left_events, taken

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


def test_a_process_that_looks_for_segments_for_a_moment_takes_no_lock_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Owner.new(tmp_path, NAME)
    os.close(owner._descriptor)
    lock = fcntl.flock
    tried: list[int] = []

    def busy(descriptor: int, how: int) -> None:
        tried.append(descriptor)
        if len(tried) < 3:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", busy)
    assert owner.keep() is Lock.AGAIN
    owner.remove()


def test_a_file_that_was_created_with_a_lost_lock_gets_no_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer(tmp_path)
    writer.append(b"s", b"one")
    create = Segment.create

    def lose_meanwhile(path: Path, size: int) -> Segment:
        """Create a file, while another thread notices that the lock was removed."""
        monkeypatch.undo()
        segment = create(path, size)
        next(tmp_path.glob("*.lock")).unlink()
        writer._space._retry_s = math.inf  # after a failure
        writer.maintain()
        writer._space._retry_s = 0
        return segment

    monkeypatch.setattr(Segment, "create", lose_meanwhile)
    events = [b"%d" % number * 500 for number in range(100)]
    for event in events:
        writer.append(b"s", event)
    owner = writer._space._owner
    assert owner is not None
    paths = [segment.path for segment in writer.chain if segment.path]
    assert {path.name[:-11] for path in paths} == {owner.stem}
    assert writer.close() == 0
    assert set(left_events(tmp_path)) == {b"one", *events}


def test_a_folder_that_was_removed_is_noticed_by_the_thread_that_reads(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "spool"
    writer = a_writer(folder)
    writer.append(b"s", b"one")
    shutil.rmtree(folder)
    assert writer._space.new_file(100) is None
    assert writer._space.keep_lock() is Lock.REMOVED


def test_an_event_whose_file_was_removed_is_not_counted_twice(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    drops = Drops()
    reader = Reader(writer.chain, drops, live=True)
    for _ in range(200):
        writer.append(b"s", b"x" * 1_000)
    in_first = next(s.events for s in writer.chain if s.size)
    records = taken(reader, 10)
    min(tmp_path.glob("*.seg")).unlink()
    next(s for s in writer.chain if s.size).release()
    records += taken(reader)
    for record in records:
        reader.finish(record)
    assert drops == {"their file in the spool was removed": in_first - 10}
    assert reader.finished == writer.emitted == 200


def test_events_that_are_saved_at_the_end_are_not_marked_as_doubtful(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_reserve", None)
    folder = tmp_path / "spool"
    folder.touch()
    writer = a_writer(folder)
    writer.append(b"s", b"one")
    folder.unlink()
    assert writer.close() == 0
    [path] = folder.glob("*.seg")
    assert path.read_bytes().startswith(MAGIC)
    assert left_events(folder) == [b"one"]
