"""Segments, their writer and their reader, in one process."""

import os
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.agent.spool import reader as reading
from semloop.agent.spool import segment as segments
from semloop.agent.spool.layout import HANDED, HEADER_BYTES, MAGIC, RESERVED, SIZE_MAX
from semloop.agent.spool.reader import Reader
from semloop.agent.spool.writer import Writer
from tests.sdk.spooled import Drops, a_writer, events_of, taken

EVENT = st.binary(min_size=1, max_size=50_000)
KEY = st.binary(max_size=100)
# Append events, take some, finish some of these in any order, or lose the producer.
STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(KEY, EVENT), max_size=5)),
    st.tuples(st.just("take"), st.integers(1, 5)),
    st.tuples(st.just("finish"), st.integers(0, 5)),
    st.tuples(st.just("rewind"), st.just(0)),
    st.tuples(st.just("unread"), st.just(0)),
)
KINDS = pytest.mark.parametrize("kind", ["mapped", "buffered", "memory"])


def a_writer_of(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """Return a writer; `buffered`: on a disk that cannot reserve blocks."""
    if kind == "buffered":
        monkeypatch.setattr(segments, "_reserve", None)
    return a_writer(None if kind == "memory" else folder, memory_max=2**28)


@KINDS
@given(steps=st.lists(STEP, max_size=30), data=st.data())
def test_each_event_is_read_in_order_until_it_is_finished(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    steps: list[tuple[str, Any]],
    data: st.DataObject,
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("spool")
        writer = a_writer_of(kind, folder, monkeypatch)
        reader = Reader(writer.chain, Drops(), live=True)
        expected: deque[tuple[bytes, bytes, bool]] = deque()
        handed = []
        finished = 0
        for step, value in steps:
            if step == "append":
                for key, event in value:
                    assert writer.append(key, event) is None
                    expected.append((key, event, False))
            elif step == "take":
                for record in taken(reader, value):
                    key, event, before = expected.popleft()
                    assert record.content == (key, event)
                    assert record.handed_before == before
                    handed.append(record)
            elif step == "unread" and handed and not handed[-1].done:
                record = handed.pop()
                expected.appendleft((*record.content, record.handed_before))
                reader.unread(record)
            elif step == "finish" and handed:
                record = data.draw(st.sampled_from(handed))
                finished += not record.done
                reader.finish(record)
            elif step == "rewind":
                again = [(*r.content, True) for r in handed if not r.done]
                expected.extendleft(reversed(again))
                handed = []
                reader.rewind()
            for segment in writer.chain:
                segment.sync()
        remaining = [event for _, event, _ in expected]
        for record in handed:
            reader.finish(record)
        assert events_of(reader) == remaining
        assert reader.position == writer.position
        assert reader.is_empty
        assert writer.emitted == sum(len(v) for s, v in steps if s == "append")
        assert writer.close() == 0
        assert list(folder.iterdir()) == []


@KINDS
def test_segments_grow_and_are_removed_when_all_their_events_are_done(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer_of(kind, tmp_path, monkeypatch)
    reader = Reader(writer.chain, Drops(), live=True)
    for number in range(6_000):
        writer.append(b"s", b"%d" % number * 400)
    sizes = [segment.size for segment in writer.chain if segment.size]
    assert sizes == sorted(sizes)
    assert len(sizes) > 3
    files = len(list(tmp_path.glob("*.seg")))
    assert files == (0 if kind == "memory" else len(sizes))
    records = taken(reader)
    for record in records[1:]:
        reader.finish(record)
    assert len(list(tmp_path.glob("*.seg"))) == files  # the first is not done
    reader.finish(records[0])
    assert len([s for s in writer.chain if s.size]) == 1
    assert len(list(tmp_path.glob("*.seg"))) == min(files, 1)


def test_files_are_private(tmp_path: Path) -> None:
    writer = a_writer(tmp_path / "new" / "spool")
    writer.append(b"s", b"event")
    for path in (tmp_path / "new" / "spool").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new" / "spool").stat().st_mode) == 0o700


def test_what_does_not_fit_the_folder_is_kept_in_memory_then_refused(
    tmp_path: Path,
) -> None:
    writers = [a_writer(tmp_path, bytes_max=2**20, memory_max=2**17) for _ in range(2)]
    refused: set[str | None] = set()
    stored = 0
    for _ in range(2_000):
        for writer in writers:
            reason = writer.append(b"s", b"x" * 1_000)
            stored += reason is None
            refused.add(reason)
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    assert 2**20 - 2**17 <= on_disk <= 2**20
    assert refused == {None, "the spool and the queue are full"}
    assert 1_100 < stored < 1_400
    for writer in writers:
        reader = Reader(writer.chain, Drops(), live=True)
        assert len(events_of(reader)) == writer.emitted
        # There is room again.
        writer._space._retry_s = writer._space._refused_until_s = 0
        assert writer.append(b"s", b"x" * 1_000) is None


@pytest.mark.parametrize("obstacle", ["a file", "no permission", "full"])
def test_events_are_kept_in_memory_while_the_disk_refuses(
    tmp_path: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "spool"
    if obstacle == "a file":
        folder.touch()
    elif obstacle == "full":

        def full(*_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(segments, "_reserve", full)
    else:
        monkeypatch.setattr(os, "open", refusing(os.open))
    writer = a_writer(folder, memory_max=2**17)
    assert writer.append(b"s", b"first") is None
    reasons = {writer.append(b"s", b"x" * 1_000) for _ in range(300)}
    (reason,) = reasons - {None}
    assert reason is not None
    assert reason.startswith(f"cannot write to the spool in {folder}: ")
    monkeypatch.undo()
    if obstacle == "a file":
        folder.unlink()
    # At the end of the process the disk accepts what was in memory.
    assert writer.close() == 0
    assert len(list(folder.glob("*.seg"))) == 2


def refusing(original: Callable[..., int]) -> Callable[..., int]:
    def refuse(path: object, flags: int, *args: object, **kwargs: object) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return original(path, flags, *args, **kwargs)

    return refuse


def test_an_event_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    for number in range(100):
        event = b"event %d" % number
        writer.append(b"key", event)
        [path] = tmp_path.glob("*.seg")
        assert b"key" + event in path.read_bytes()


def test_a_record_that_a_thread_does_not_finish_holds_up_others_only_for_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer(tmp_path)
    drops = Drops()
    reader = Reader(writer.chain, drops, live=True)
    for event in (b"one", b"two"):
        writer.append(b"s", event)
    words = writer.chain.last.view()[1]
    words[HEADER_BYTES >> 2] = RESERVED | (words[HEADER_BYTES >> 2] & SIZE_MAX)
    assert reader.take() is None
    stalled = [reader.is_stalled]
    monkeypatch.setattr(reading, "UNFINISHED_S", 0.0)
    assert events_of(reader) == [b"two"]
    assert drops == {"a thread did not finish it": 1}
    assert [*stalled, reader.is_stalled] == [True, False]
    assert reader.finished == writer.emitted == 2


def test_events_of_a_file_that_was_removed_are_counted(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    drops = Drops()
    reader = Reader(writer.chain, drops, live=True)
    for _ in range(200):
        writer.append(b"s", b"x" * 1_000)
    in_first = next(s.events for s in writer.chain if s.size)
    first = min(tmp_path.glob("*.seg"))
    reader.rewind()  # after an outage only the newest segment stays mapped
    first.unlink()
    assert len(events_of(reader)) == 200 - in_first
    assert drops == {"their file in the spool was removed": in_first}


def test_a_record_is_marked_before_a_producer_has_it(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    reader = Reader(writer.chain, Drops(), live=True)
    writer.append(b"s", b"one")
    record = reader.take()
    assert record is not None
    words = writer.chain.last.view()[1]
    assert words[record.start >> 2] & ~SIZE_MAX == HANDED


def test_a_segment_that_was_written_while_it_was_the_last_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer_of("buffered", tmp_path, monkeypatch)
    for _ in range(400):
        writer.append(b"s", b"x" * 500)
        writer.maintain()
    *full, last = [segment for segment in writer.chain if segment.size]
    assert full
    assert last.buffered
    for segment in full:
        assert (segment.buffered, segment.memory) == (False, None)
        assert segment.path is not None
        assert segment.path.read_bytes().startswith(MAGIC)
        assert segment.path.stat().st_size == segment.end
