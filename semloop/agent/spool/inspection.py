"""What is in the spool, for people: reads its files, and changes and adopts none.

A file is read, not mapped: its owner may shorten it meanwhile, and a read of memory
behind the end of a mapped file ends the process with SIGBUS.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from semloop.agent.spool.folder import LOCK, SEGMENT, Left, left_by_all
from semloop.agent.spool.layout import (
    DONE,
    HEADER_BYTES,
    MAGIC,
    MAGICS,
    RESERVED,
    STATE,
    Content,
    content_at,
    end_of,
)
from semloop.agent.spool.segment import DAMAGED

# Files of SemLoop's versions before the segments: lines of JSON.
EARLIER = ".jsonl"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class State(StrEnum):
    """What becomes of the events of an owner."""

    RUNNING = "running"
    """Its process sends them."""
    ADOPTED = "adopted"
    """Its process has ended, and another one sends them."""
    ENDED = "ended"
    """Its process has ended; the next one of the same broker and topic sends them."""


class Unsent(NamedTuple):
    """What is left to send of one owner.

    `bytes`: of the events. `oldest`, `newest`: when the first and the last of them was
    emitted. `damaged`: records that cannot be read. `unreadable`: files that are not
    segments, or that others may have written.
    """

    left: Left
    state: State
    events: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None
    damaged: int
    unreadable: tuple[Path, ...]

    @property
    def pid(self) -> int:
        """The process that emitted the events."""
        return _pid_of(self.left)


class Others(NamedTuple):
    """Files that no process sends.

    `damaged`: with records that could not be read; all others were sent. `earlier`: of
    SemLoop's versions before. `refused`: not regular files of this user, or others may
    write them.
    """

    damaged: tuple[Path, ...]
    earlier: tuple[Path, ...]
    refused: tuple[Path, ...]


class _Emitted(msgspec.Struct):
    timestamp: datetime


_emitted = msgspec.json.Decoder(_Emitted).decode


def unsent_of_all(folder: Path, names: Iterable[str] | None = None) -> list[Unsent]:
    """Return what all processes have in a folder, the oldest first.

    Args:
        folder: the folder of the spool; it need not exist.
        names: brokers and topics; all if not given.
    """
    return [unsent_of(left) for left in left_by_all(folder, names) if left.paths]


def unsent_of(left: Left) -> Unsent:
    """Read the segments of one owner."""
    state = _state(left)
    events = size = damaged = 0
    first = last = b""
    unreadable = []
    for path in left.paths:
        try:
            for content in contents(path):
                if content is None:
                    # While its owner runs, a file without reserved blocks lags behind.
                    damaged += state is not State.RUNNING
                    continue
                events += 1
                size += len(content.event)
                first, last = first or content.event, content.event
        except FileNotFoundError:
            continue  # sent and removed meanwhile
        except (OSError, ValueError):
            # A running owner may be creating it.
            if state is not State.RUNNING:
                unreadable.append(path)
    times = _time_of(first), _time_of(last)
    return Unsent(left, state, events, size, *times, damaged, tuple(unreadable))


def contents(path: Path) -> Iterator[Content | None]:
    """Yield the unsent events of a segment, in order; None for a damaged record.

    Raises:
        OSError: the file cannot be read, or others may have written it.
        ValueError: it is not a segment.
    """
    memory, words = _segment(path)
    start = HEADER_BYTES
    while start < words.nbytes and (word := words[start >> 2]):
        state, end = word & STATE, end_of(start, word)
        if state > DONE or end > words.nbytes:
            yield None  # the rest cannot be read either
            return
        if state not in {DONE, RESERVED}:
            yield content_at(memory, words, start)
        start = end


def count_unsent(paths: Iterable[Path]) -> int:
    """Return the number of unsent events in segments, without their checksums."""
    count = 0
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # sent and removed meanwhile
            _, words = _segment(path)
            start, size = HEADER_BYTES, words.nbytes
            while start < size and (word := words[start >> 2]):
                count += word & STATE not in {DONE, RESERVED}
                start = end_of(start, word)
    return count


def is_readable(folder: Path) -> bool:
    """Return False if there is a folder, or a file, that this user cannot list."""
    try:
        with os.scandir(folder):
            return True
    except OSError as error:
        return isinstance(error, FileNotFoundError)


def other_files(folder: Path) -> Others:
    """Return the files in a folder that no process sends."""
    damaged, earlier, refused = [], [], []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            path = folder / entry.name
            if path.suffix not in {SEGMENT, LOCK, DAMAGED, EARLIER}:
                continue
            with contextlib.suppress(FileNotFoundError):
                if not _is_private(entry.stat(follow_symlinks=False)):
                    refused.append(path)
                elif path.suffix == DAMAGED:
                    damaged.append(path)
                elif path.suffix == EARLIER:
                    earlier.append(path)
    return Others(tuple(damaged), tuple(earlier), tuple(refused))


def _state(left: Left) -> State:
    """Return whether the lock of an owner is held, and by whom.

    The lock is tested by a shared lock for a moment, which its holder does not notice.
    A process that would adopt the files just then does so at its next search. An owner
    is locked before it has segments, so it is not created at this moment.
    """
    lock = left.paths[0].parent / f"{left.stem}{LOCK}"
    try:
        descriptor = os.open(lock, _READ)
    except OSError:
        return State.ENDED
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return State.RUNNING if _runs(_pid_of(left)) else State.ADOPTED
    except OSError:
        return State.ENDED
    finally:
        os.close(descriptor)
    return State.ENDED


def _pid_of(left: Left) -> int:
    return int(left.stem.rpartition(".")[2].partition("-")[0])


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _segment(path: Path) -> tuple[bytes, memoryview]:
    """Read a segment that only this user can have written; also as words of 32 bits.

    Raises:
        OSError: others may have written it, or it cannot be read.
        ValueError: it is not a segment.
    """
    descriptor = os.open(path, _READ)
    with open(descriptor, "rb", buffering=0) as file:
        if not _is_private(os.fstat(descriptor)):
            raise PermissionError
        memory = file.readall() or b""
    if not memory[:HEADER_BYTES].strip(b"\0"):
        memory = MAGIC  # its owner ended before it stored a record
    if not memory.startswith(MAGICS):
        msg = "not a segment"
        raise ValueError(msg)
    return memory, memoryview(memory)[: len(memory) & ~7].cast("I")


def _is_private(info: os.stat_result) -> bool:
    others_write = info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return (
        stat.S_ISREG(info.st_mode) and info.st_uid == os.getuid() and not others_write
    )


def _time_of(event: bytes) -> datetime | None:
    with contextlib.suppress(msgspec.MsgspecError):
        return _emitted(event).timestamp
    return None
