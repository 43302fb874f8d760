"""Processes of the flow `memory`, and of `rebuild`, on a simulated lake."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from deltalake.transaction import AddAction

from schemas.batches import Progress, Vectored
from semloop.delta.file_name import FileName
from semloop.errors import StorageUnavailable, Terminal
from semloop.lake.generations import EPISODES
from semloop.retry import retry
from semloop.storage.errors import storage_errors
from sinks import memory_tables, rebuilt_generation
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext
from sinks.memory_tables import MemoryTables
from sinks.rebuilt_generation import RebuiltGeneration
from sinks.vectors import new_generation
from tests.simulation.choices import Choices
from tests.simulation.episodes import (
    MODEL,
    Assigned,
    SimulatedSessions,
    memory_rows,
    revision_rows,
)
from tests.simulation.feed import STREAMS, partitions, stored_ends
from tests.simulation.rows import Revision, Rows, newest, put_rows, revisions_of
from tests.simulation.rule import Replaced
from tests.simulation.store import SimulatedStorage
from tests.simulation.vectors import SimulatedVectors
from tests.support.builders import NOW

ROUNDS_MAX = 6


class MemoryFlow(NamedTuple):
    """What processes of `memory` and `rebuild` need."""

    context: FlowContext
    storage: SimulatedStorage
    choices: Choices

    def remember(self, owned: list[int]) -> None:
        """Take over, read to the end of `events`, and end."""
        context, choices = self.context, self.choices
        tables = MemoryTables(context, STREAMS, partitions(owned), MODEL)
        positions = tables.take_over()
        restored = revisions_of(tables.recent_sessions())
        sessions = SimulatedSessions(r for r in restored if r.place in positions)
        loop = CommitLoop(context.settings, tables, context.clock)
        while True:
            ends = stored_ends(self.storage)
            read = {p: self._read_to(o, ends[p]) for p, o in positions.items()}
            assigned = sessions.assign(positions, read, lambda: choices.occurs(0.2))
            positions = read
            at_end = all(position == ends[p] for p, position in positions.items())
            last = at_end or choices.occurs(0.5)
            known = {p: ends[p] + 1 for p in positions}
            loop.add(vectored(assigned, Progress(positions, known, last=last)))
            if at_end:
                return

    def rebuild(self) -> None:
        """Make episodes and memories again, and switch to them."""
        fold = SimulatedFold()
        writer = RebuiltGeneration(
            self.context, STREAMS, partitions([0, 1, 2]), MODEL, lambda *step: None
        )
        carried: Any = NothingCarried()
        filling = writer.start(fold, carried, lambda: None, lambda: None)  # type: ignore[arg-type]
        sessions = SimulatedSessions()
        positions = dict.fromkeys(partitions([0, 1, 2]), -1)
        for _ in range(ROUNDS_MAX):
            ends = stored_ends(self.storage)
            assigned = sessions.assign(positions, ends, lambda: False)
            # An interrupted run has written the others, and they are the same.
            memories = [
                m
                for m in assigned.memories
                if m.events or m.offset > filling.reached[m.episode.place]
            ]
            positions = ends
            found = Assigned(memories, assigned.revisions)
            writer.add(vectored(found, Progress(positions, complete=True)))
            writer.add(vectored(Assigned([], []), Progress(last=True)))
            if filling.switched:
                return
        msg = "`memory` reads faster than `rebuild` can follow."
        raise Terminal(msg)

    def _read_to(self, position: int, end: int) -> int:
        """Return the offset up to which a poll reads."""
        if position >= end or self.choices.occurs(0.3):
            return position
        return self.choices.one_of([end, position + 1])


def vectored(assigned: Assigned, progress: Progress) -> Vectored:
    """Return a poll as the sink gets it."""
    memories = memory_rows(assigned.memories)
    return Vectored(memories, revision_rows(assigned.revisions), progress)


class SimulatedFold:
    """In place of `EpisodeFold`: revisions in memory."""

    def __init__(self) -> None:
        self._revisions: tuple[Revision, ...] = ()

    def add(self, rows: pa.Table) -> None:
        self._revisions = newest((*self._revisions, *revisions_of(rows)))

    def newest(self, *, closed: bool) -> Iterator[Revision]:
        return (r for r in self._revisions if r.closed or not closed)

    def keep_open(self) -> None:
        self._revisions = tuple(r for r in self._revisions if not r.closed)


class NothingCarried:
    """In place of `CarriedMemories`."""

    def require_same(self, schema: pa.Schema) -> None:
        """Accept any: there is no such memory."""

    def copy(self, schema: pa.Schema, merge: object) -> int:
        return 0


def write_revisions(
    storage: SimulatedStorage,
    found: Iterable[Revision],
    number: int,
    retry_s: float,
) -> list[AddAction]:
    """Write a file of `episodes` that no version has, in place of `write_dated`."""
    revisions = tuple(found)
    if not revisions:
        return []
    content = Rows(tuple(r.origin for r in revisions), NOW, NOW, False, revisions)
    path = f"date=2027-01-15/{FileName(first=number).new()}"

    def write() -> AddAction:
        with storage_errors(storage, f"write table {EPISODES}"):
            return put_rows(storage.simulated, EPISODES, path, content)

    return [retry(write, on=StorageUnavailable, seconds=retry_s)]


def _nothing(*arguments: object) -> None:
    """In place of maintenance of a table of memories."""


# The ports of both flows that are not those of their context.
PORTS: Sequence[Replaced] = (
    (memory_tables, "VectorTable", SimulatedVectors),
    (new_generation, "VectorTable", SimulatedVectors),
    (new_generation, "remove_expired", _nothing),
    (new_generation, "maintain", _nothing),
    (rebuilt_generation, "write_dated", write_revisions),
)
