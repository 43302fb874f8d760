"""Gives the memory of segments files, when the disk accepts them, and ends these."""

import os
from pathlib import Path

from semloop.agent.spool.layout import HEADER_BYTES, LAGGING_MAGIC
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
