"""Segments that another process, or another thread, takes meanwhile."""

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from semloop.agent.spool.reader import Reader
from semloop.agent.spool.segment import Segment
from semloop.agent.spool.storing import lose, put
from tests.sdk.spooled import Drops, a_writer, adopted, close_lock, events_of, taken


@pytest.mark.parametrize("how", ["closed", "lock removed"])
@pytest.mark.parametrize("first", ["this process", "the other one"])
def test_what_two_processes_have_is_sent_with_the_header_by_the_later_one(
    tmp_path: Path, how: str, first: str
) -> None:
    writer = a_writer(tmp_path)
    own = Reader(writer.chain, Drops(), live=True)
    for number in range(3):
        writer.append(b"s", b"%d" % number)
    if how == "closed":
        close_lock(writer)
    else:
        next(tmp_path.glob("*.lock")).unlink()
    orphan = adopted(tmp_path)
    assert orphan is not None
    if first == "the other one":
        assert len(taken(orphan.reader)) == 3
    for _ in range(2):  # the second one writes to a new file
        writer.maintain()
    found = [(r.content.event, r.handed_before) for r in taken(own)]
    assert found == [(b"0", True), (b"1", True), (b"2", True)]
    if first == "this process":
        assert [r.handed_before for r in taken(orphan.reader)] == [True] * 3
    orphan.release()


def test_a_backlog_that_another_process_has_takes_no_descriptors_nor_memory(
    tmp_path: Path,
) -> None:
    writer = a_writer(tmp_path, bytes_max=2**23)
    drops = Drops()
    own = Reader(writer.chain, drops, live=True)
    while not writer.in_memory:
        assert writer.append(b"s", b"x" * 20_000) is None
    own.rewind()  # after an outage only the newest segment stays mapped
    files = sum(1 for segment in writer.chain if segment.path)
    before = len(os.listdir("/proc/self/fd"))
    close_lock(writer)
    orphan = adopted(tmp_path)
    assert orphan is not None
    writer.maintain()
    assert files > 10
    assert len(os.listdir("/proc/self/fd")) <= before + 4
    records = taken(own)
    assert len(records) == writer.emitted
    # All but the last, which was in memory only when the lock was lost.
    assert sum(r.handed_before for r in records) >= len(records) - 1
    for record in records:
        own.finish(record)
    assert len(list(tmp_path.glob("*.seg"))) >= files  # they are the other one's
    assert events_of(orphan.reader) == []
    orphan.close()
    assert not drops


@pytest.mark.parametrize("function", [lose, put])
@pytest.mark.parametrize("line", range(10))
def test_a_thread_that_continues_in_another_segment_takes_no_memory_away(
    tmp_path: Path, function: Callable[..., None], line: int
) -> None:
    is_put = function is put
    path = tmp_path / "x.seg"
    segment = Segment.in_memory(4096) if is_put else Segment.create(path, 4096)
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        """Let the other thread run before one of the lines."""
        if frame.f_code is not function.__code__:
            return None
        if event == "line" and next(lines) == line:
            segment.release()
        return trace

    sys.settrace(trace)
    try:
        function(segment, *[path] * is_put)
    finally:
        sys.settrace(None)
    assert segment.view()[0][:6] == b"semloo"
