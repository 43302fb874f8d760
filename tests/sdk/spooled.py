"""Reads a spool without a broker."""

import os
from collections import Counter
from pathlib import Path

from semloop.agent.spool.orphans import Orphan, Orphans
from semloop.agent.spool.reader import Reader, Record
from semloop.agent.spool.segment import Segment
from semloop.agent.spool.writer import Writer

NAME = "b:1-t"


class Drops(Counter[str]):
    """Counts dropped events by reason."""

    def __call__(self, count: int, reason: str) -> None:
        self[reason] += count


def a_writer(
    folder: Path | None,
    name: str = NAME,
    bytes_max: int = 2**28,
    memory_max: int = 2**22,
) -> Writer:
    return Writer(folder, name, bytes_max, memory_max)


def taken(reader: Reader, count: int | None = None) -> list[Record]:
    """Take records, all if no number is given."""
    found: list[Record] = []
    while count is None or len(found) < count:
        record = reader.take()
        if record is None:
            break
        found.append(record)
    return found


def events_of(reader: Reader) -> list[bytes]:
    """Take and finish all records; return their events."""
    found = []
    for record in taken(reader):
        found.append(record.content.event)
        reader.finish(record)
    return found


def left_events(folder: Path, *names: str, drops: Drops | None = None) -> list[bytes]:
    """Adopt, read and remove all that ended processes left."""
    orphans = Orphans(folder, names or [NAME], Drops() if drops is None else drops)
    found = []
    while orphan := orphans.next():
        found += events_of(orphan.reader)
        orphan.close()
    return found


def unsent(folder: Path) -> int:
    """Return the number of events in a spool, whether their processes have ended."""
    return sum(Segment.adopt(path).unsent() for path in folder.glob("*.seg"))


def close_lock(writer: Writer) -> int:
    """Close a writer's lock, as a host does, which then has its number; return that."""
    owner = writer._space._owner
    assert owner is not None
    number = owner._descriptor
    replace(number, Path(os.devnull))
    return number


def replace(number: int, path: Path) -> None:
    """Let a number be the descriptor of another file."""
    other = os.open(path, os.O_CREAT | os.O_RDWR)
    if other != number:
        os.dup2(other, number)
        os.close(other)


def adopted(folder: Path) -> Orphan | None:
    return Orphans(folder, [NAME], Drops()).next()
