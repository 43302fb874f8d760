"""Opens the folder of an earlier broker.

After a power failure, `state.json` says which part of the logs was on disk. Offsets
behind that part may have been given out, and the lake may have their records: they are
skipped and never used again. The same holds for a copy of the folder, whose files were
copied one after the other. After a crash of the process alone everything is there.
"""

import fcntl
import os
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from semloop.broker.partition import PartitionLog
from semloop.broker.segment import Segment, copy_file, unshare
from semloop.broker.state import STATE_FILE, State, read_state
from semloop.broker.topic import Topic

# More than can have been given out since the state was written.
SKIPPED_OFFSETS = 10_000_000
LOG_SUFFIX, DRAFT_SUFFIX = ".log", ".part"


class Locked(Exception):
    """Raised if another broker uses the folder."""


def open_folder(path: Path) -> int:
    """Return a descriptor of the folder, which no other broker can open.

    Raises:
        Locked: another broker uses it.
        OSError: it cannot be used.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise Locked from None
    return folder


def recovered(folder: int) -> tuple[State, dict[str, Topic]]:
    """Return the state of the folder, and its topics with what can be trusted.

    Raises:
        OSError: the folder cannot be used.
    """
    aside = _Aside(folder)
    names = [name for name in os.listdir(folder) if name.endswith(LOG_SUFFIX)]
    try:
        state = read_state(folder)
        if state is None and names:
            raise ValueError
        state = state or State()
        topics = {name: _topic(folder, name, has) for name, has in state.topics.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        for name in (STATE_FILE, *names):
            aside.move(name)
        return State(), {}
    left = set(names)
    for topic in topics.values():
        for log in topic.partitions:
            own = {name for name in left if _base(name, log).isdecimal()}
            _recover(folder, log, state, own, aside)
            left -= own
    for name in left:
        # Of a topic that the state does not know, maybe since it was being deleted.
        aside.move(name)
    for name in os.listdir(folder):
        if name.endswith(DRAFT_SUFFIX):
            os.unlink(name, dir_fd=folder)  # a file was being replaced
    return state, topics


def _topic(folder: int, name: str, found: dict[str, Any]) -> Topic:
    topic = Topic(name, uuid.UUID(found["id"]), dict(found["config"]), [])
    for number, (start, following) in enumerate(found["offsets"]):
        log = PartitionLog(folder, topic.prefix(number), int(start), int(following))
        topic.partitions.append(log)
    return topic


def _recover(
    folder: int, log: PartitionLog, state: State, names: set[str], aside: "_Aside"
) -> None:
    """Read the files of a log; leave a gap where records may have been lost."""
    trusts_all = state.clean or state.is_of_this_boot()
    segments, is_damaged = [], False
    for name in sorted(names):
        unshare(folder, name)
        segment = Segment(folder, name, int(_base(name, log)))
        is_damaged = segment.recover(
            state.synced.get(name, 0), trusts_all=trusts_all, is_last=name == max(names)
        )
        if is_damaged:
            aside.copy(name)
        segment.cut()
        segments.append(segment)
    log.adopt(segments)
    if trusts_all and not names:
        log.start_offset = log.next_offset  # somebody removed its files
    is_complete = state.clean or (trusts_all and state.is_of(folder))
    if is_damaged or not is_complete:
        log.skip(SKIPPED_OFFSETS)


def _base(name: str, log: PartitionLog) -> str:
    """Return the offset in the name of a file of the log; another text for others."""
    return name.removeprefix(log.prefix).removesuffix(LOG_SUFFIX)


class _Aside:
    """A folder for what cannot be used, made when it is needed."""

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._name = ""

    def move(self, name: str) -> None:
        """Move a file there, if it exists."""
        with suppress(FileNotFoundError):
            target = self._target(name)
            os.replace(name, target, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def copy(self, name: str) -> None:
        """Copy a damaged file there."""
        copy_file(self._folder, name, self._target(name))

    def _target(self, name: str) -> str:
        if not self._name:
            self._name = f"damaged-{time.time_ns()}"
            os.mkdir(self._name, 0o700, dir_fd=self._folder)
            line = f"Files of the broker are damaged or unknown; see {self._name}.\n"
            sys.stderr.write(line)
        return f"{self._name}/{name}"
