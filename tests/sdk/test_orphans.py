"""What processes that have ended left in the spool."""

import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.agent.spool import segment as segments
from semloop.agent.spool.folder import Owner, left_by_all
from semloop.agent.spool.layout import HEADER_BYTES, MAGIC
from semloop.agent.spool.orphans import Orphan, Orphans
from semloop.agent.spool.reader import Reader
from tests.sdk.spooled import Drops, a_writer, events_of, left_events, taken
from tests.support.processes import ROOT

NAME = "b:1-t"
# Emits, tells how many events, and ends.
CHILD = """
import ctypes, faulthandler, os, signal, sys
from pathlib import Path
from semloop.agent.spool.writer import Writer
folder, how, count = sys.argv[1:]
writer = Writer(Path(folder), "b:1-t", 2**28, 2**20)
for number in range(int(count)):
    reason = writer.append(b"key", b"%d %d " % (os.getpid(), number) + b"x" * 480)
    assert not reason
if how == "segmentation fault":
    ctypes.string_at(0)
if how == "_exit":
    os._exit(0)
os.kill(os.getpid(), getattr(signal, how))
signal.pause()
"""


def end(folder: Path, *events: bytes, name: str = NAME) -> None:
    """Leave events as a process does that is killed."""
    writer = a_writer(folder, name)
    for event in events:
        assert writer.append(b"s", event) is None
    writer.release()


def adopted(folder: Path, name: str = NAME) -> Orphan | None:
    return Orphans(folder, [name], Drops()).next()


@pytest.mark.process
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "_exit", "segmentation fault"])
def test_no_way_of_ending_a_process_loses_an_event(tmp_path: Path, how: str) -> None:
    count = random.Random(how).randint(1, 20_000)
    subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), how, str(count)],
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    found = [int(event.split()[1]) for event in left_events(tmp_path)]
    assert found == list(range(count))
    assert list(tmp_path.iterdir()) == []


def test_only_one_process_has_the_files_of_an_ended_one(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    writer.append(b"s", b"one")
    assert adopted(tmp_path) is None  # its owner is alive
    writer.release()
    orphan = adopted(tmp_path)
    assert orphan is not None
    assert adopted(tmp_path) is None  # it has an owner again
    assert adopted(tmp_path, "b:1-other") is None
    assert events_of(orphan.reader) == [b"one"]
    orphan.close()
    assert list(tmp_path.iterdir()) == []


def test_an_adopted_file_continues_where_its_last_reader_ended(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    for number in range(5):
        writer.append(b"s", b"%d" % number)
    reader = Reader(writer.chain, Drops(), live=True)
    records = taken(reader, 3)
    reader.finish(records[0])
    reader.finish(records[2])
    writer.release()
    orphan = adopted(tmp_path)
    assert orphan is not None
    found = [(r.content.event, r.handed_before) for r in taken(orphan.reader)]
    # The producer of the ended process had 1; it is unknown whether the broker has it.
    assert found == [(b"1", True), (b"3", False), (b"4", False)]
    orphan.release()
    orphan = adopted(tmp_path)
    assert orphan is not None
    assert [r.handed_before for r in taken(orphan.reader)] == [True, True, True]


@pytest.mark.parametrize("end", ["killed", "at a clean end"])
@pytest.mark.parametrize("full", [False, True])
def test_events_whose_marks_may_be_lost_are_sent_as_if_a_producer_had_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, *, full: bool
) -> None:
    monkeypatch.setattr(segments, "_reserve", None)
    writer = a_writer(tmp_path)
    reader = Reader(writer.chain, Drops(), live=True)
    for number in range(300 if full else 5):
        writer.append(b"s", b"%d" % number * 400)
    writer.maintain()
    taken(reader, 3)
    # The thread that writes the marks to the file every 20 ms does not come to it.
    if end == "killed":
        writer.release()
    else:
        assert writer.close() == 0
    orphan = adopted(tmp_path)
    assert orphan is not None
    found = [r.handed_before for r in taken(orphan.reader)]
    # Full segments are mapped, and their marks are never late.
    first = 85 if full else 0
    late = [end == "killed"] * (len(found) - max(first, 3))
    assert found == [True] * 3 + [False] * max(0, first - 3) + late
    orphan.release()


def test_files_are_adopted_one_at_a_time_the_oldest_first(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        end(tmp_path, b"%d" % number, name=f"n{number % 2}")
        for path in tmp_path.iterdir():
            if b"%d" % number in path.read_bytes()[HEADER_BYTES:]:
                os.utime(path, (number, number))
                os.utime(
                    next(tmp_path.glob(f"{path.name[:-11]}.lock")), (number, number)
                )
    orphans = Orphans(tmp_path, ["n0", "n1"], Drops())
    before = len(os.listdir("/proc/self/fd"))
    for number in range(3):
        orphan = orphans.next()
        assert orphan is not None
        records = taken(orphan.reader)
        assert [r.content.event for r in records] == [b"%d" % number]
        assert len(os.listdir("/proc/self/fd")) <= before + 2
        for record in records:
            orphan.reader.finish(record)
        orphan.close()
        del orphan, records, record
    assert orphans.next() is None


def test_files_that_were_sent_meanwhile_are_not_created_again(tmp_path: Path) -> None:
    end(tmp_path, b"one")
    late = Orphans(tmp_path, [NAME], Drops())
    late.search()
    assert left_events(tmp_path) == [b"one"]
    orphan = late.next()
    if orphan is not None:
        assert events_of(orphan.reader) == []
        orphan.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["000001.seg", "lock"])
@pytest.mark.parametrize("kind", ["link", "hanging link", "folder", "pipe", "writable"])
def test_only_own_regular_files_are_adopted_and_no_link_is_followed(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    target = tmp_path / "target.txt"
    folder = tmp_path / "spool"
    end(folder, b"one")
    [path] = folder.glob(f"*.{suffix}")
    content = path.read_bytes()
    if kind != "writable":
        path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "writable":
        path.chmod(0o666)
    else:
        path.symlink_to(target)
    if kind == "link":
        target.write_bytes(content)
    found = left_events(folder)
    # The content of a lock does not matter, nor who else could lock it.
    assert found == ([b"one"] if (kind, suffix) == ("writable", "lock") else [])
    if kind == "link":
        assert target.read_bytes() == content
    elif kind == "hanging link":
        assert not target.exists()
    if suffix != "lock":
        assert path.exists() or path.is_symlink()


@pytest.mark.parametrize(
    ("place", "words", "expected", "dropped"),
    [
        pytest.param("content", (), [b"three"], 1, id="a changed byte"),
        pytest.param("size", (2 << 28 | 0xFFFFFFF, 0, 0), [], 1, id="a size too large"),
        pytest.param("size", (9 << 28 | 3, 0, 0), [], 1, id="an unknown state"),
        pytest.param("size", (2 << 28 | 3, 0, 9), [b"three"], 1, id="a key too long"),
        pytest.param("size", (1 << 28 | 3, 0, 0), [b"three"], 0, id="not finished"),
        pytest.param("size", (0, 0, 0), [], 0, id="the end"),
    ],
)
def test_damaged_records_are_counted_and_their_file_is_kept(
    tmp_path: Path,
    place: str,
    words: tuple[int, ...],
    expected: list[bytes],
    dropped: int,
) -> None:
    writer = a_writer(tmp_path)
    starts = []
    for event in (b"one", b"two", b"three"):
        starts.append(writer.chain.last.end or HEADER_BYTES)
        writer.append(b"", event)
    writer.release()
    [path] = tmp_path.glob("*.seg")
    data = bytearray(path.read_bytes())
    if place == "content":
        data[starts[1] + 12] ^= 1
    else:
        struct.pack_into("=III", data, starts[1], *words)
    path.write_bytes(data)
    drops = Drops()
    assert left_events(tmp_path, drops=drops) == [b"one", *expected]
    assert sum(drops.values()) == dropped
    kept = [path.suffix for path in tmp_path.iterdir()]
    assert kept == ([".damaged"] if dropped else [])


@pytest.mark.parametrize(
    "content", [b"", bytes(4096), b"x" * 100, MAGIC[:-1], MAGIC, MAGIC + b"abc"]
)
def test_files_that_are_no_segments_are_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    end(tmp_path, b"one")
    [path] = tmp_path.glob("*.seg")
    other = path.with_name(path.name.replace("000001", "000000"))
    other.write_bytes(content)
    assert left_events(tmp_path) == [b"one"]
    assert other.exists() == (not content.startswith(MAGIC) and any(content))


def test_the_folder_lists_what_all_processes_left(tmp_path: Path) -> None:
    assert left_by_all(tmp_path / "none") == []
    end(tmp_path, b"one", b"two")
    end(tmp_path, b"x" * 200_000, name="other.name")
    (tmp_path / "notes.txt").touch()
    first, second = sorted(left_by_all(tmp_path), key=lambda left: left.name)
    assert (first.name, second.name) == ("b_1-t", "other_name")
    assert first.bytes == 65_536
    assert len(first.paths) == 1
    assert [left.name for left in left_by_all(tmp_path, ["other.name"])] == [
        "other_name"
    ]


def test_a_lock_ends_with_its_process_and_a_closed_descriptor_is_not_closed_twice(
    tmp_path: Path,
) -> None:
    owner = Owner.new(tmp_path, NAME)
    with pytest.raises(BlockingIOError):
        Owner(tmp_path, owner.stem)
    # A host that becomes a daemon closes all descriptors, and opens others.
    descriptor = owner._descriptor
    os.close(descriptor)
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)
    assert other == descriptor
    owner.release()
    os.write(other, b"still open")
    os.close(other)
    Owner(tmp_path, owner.stem).remove()
