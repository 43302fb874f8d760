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
from pathlib import Path

from semloop.broker.partition import PartitionLog
from semloop.broker.state import STATE_FILE, State, new_state, read_state
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


def recovered_state(folder: int) -> State:
    """Return the state of the folder; that of an empty one if it is damaged."""
    try:
        return read_state(folder) or new_state()
    except ValueError:
        _put_aside(folder)
        return new_state()


def recovered_topics(folder: int, state: State) -> dict[str, Topic]:
    """Return the topics with what can be trusted of their logs."""
    names = [name for name in os.listdir(folder) if name.endswith(LOG_SUFFIX)]
    trusts_all = state.clean or state.is_of_this_boot()
    sizes = {name: None if trusts_all else state.synced.get(name, 0) for name in names}
    topics: dict[str, Topic] = {}
    for name, found in state.topics.items():
        topic = Topic(name, uuid.UUID(found["id"]), found["config"], [])
        for number, (start, following) in enumerate(found["offsets"]):
            log = PartitionLog(folder, topic.prefix(number), start, following)
            log.recover({n: sizes.pop(n) for n in names if n.startswith(log.prefix)})
            if trusts_all and not log.segments:
                log.start_offset = log.next_offset  # somebody removed its files
            if not state.clean and not (trusts_all and state.is_of(folder)):
                log.skip(SKIPPED_OFFSETS)
            topic.partitions.append(log)
        topics[name] = topic
    drafts = [name for name in os.listdir(folder) if name.endswith(DRAFT_SUFFIX)]
    for name in (*sizes, *drafts):
        # Left by a crash while a topic was deleted, or a file was replaced.
        os.unlink(name, dir_fd=folder)
    return topics


def _put_aside(folder: int) -> None:
    """Move files that the state does not describe into a folder of their own."""
    aside = f"damaged-{time.time_ns()}"
    os.mkdir(aside, 0o700, dir_fd=folder)
    for name in os.listdir(folder):
        if name == STATE_FILE or name.endswith(LOG_SUFFIX):
            os.replace(name, f"{aside}/{name}", src_dir_fd=folder, dst_dir_fd=folder)
    line = f"{STATE_FILE} of the broker is damaged; its records are in {aside}.\n"
    sys.stderr.write(line)
