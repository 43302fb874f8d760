"""Gives segments in memory a file, when the disk accepts it, or takes it away."""

import contextlib
import os
from pathlib import Path

from semloop.agent.spool.layout import (
    HANDED,
    HEADER_BYTES,
    LAGGING_MAGIC,
    SIZE_MAX,
    STATE,
    WRITTEN,
    end_of,
)
from semloop.agent.spool.mapping import OPEN
from semloop.agent.spool.segment import Segment, reserved


def finish(segment: Segment) -> bool:
    """Write the rest to the file, and cut it; False if no file has all."""
    if segment.path is None:
        return False
    try:
        segment.sync()
        descriptor = os.open(segment.path, OPEN)
        try:
            segment.settle(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return not segment.buffered and segment.path.exists()
    return True


def save(segment: Segment, path: Path) -> None:
    """Write memory without a file to a file; no thread uses it any more.

    Raises:
        OSError: the disk is full, or refuses the file.
    """
    saved = Segment.create(path, segment.end)
    memory = saved.view()[0]
    memory[: segment.end] = segment.view()[0][: segment.end]
    if segment.doubtful:
        memory[:HEADER_BYTES] = LAGGING_MAGIC
    saved.end = segment.end
    saved.sync()
    if not segment.doubtful:
        finish(saved)


def put(segment: Segment, path: Path) -> None:
    """Give memory without a file one, which `sync` writes; it is not the last.

    Raises:
        OSError: the disk is full, or refuses the file.
    """
    descriptor = os.open(path, OPEN | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        reserved(descriptor, segment.end)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    segment.view()[0][:HEADER_BYTES] = LAGGING_MAGIC
    segment.dirty = 0
    # In this order: another thread may call `release`.
    segment.buffered = True
    segment.path = path


def lose(segment: Segment) -> None:
    """Leave a file to others, or do without it, but keep what is in memory.

    While both processes have the file, each sees in it what the other one sends. Later
    this one may have a copy: another one must send with the header by then.
    """
    was_mapped = segment.memory is not None
    segment.lost = not was_mapped
    with contextlib.suppress(OSError):
        memory, words = segment.view()
        _hand(words, segment.end)
        if not was_mapped:
            segment.release()
            return
        # In this order: another thread may have called `release` meanwhile.
        segment.path, segment.buffered = None, False
        segment.memory, segment.words = memory, words


def _hand(words: memoryview, end: int) -> None:
    """Mark all records that are not sent as handed to a producer."""
    start = HEADER_BYTES
    while start < end and (word := words[start >> 2]):
        if word & STATE == WRITTEN:
            words[start >> 2] = HANDED | (word & SIZE_MAX)
        start = end_of(start, word)
