"""Rows that the flow `archive` polled since its last commit."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from schemas.arrow import DECODED_DEAD_LETTERS, DECODED_EVENTS
from schemas.batches import Decoded, Occurrences
from schemas.replay import Mark, Replayed
from semloop.delta.streams import NEVER_READ, Partition
from semloop.progress.activity import AgentCounts
from semloop.settings import Settings
from sinks.late_records import late_by_agent


class ArchiveBuffer:
    """Rows and positions of the polls that wait for one commit."""

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self.positions: dict[Partition, int] = {}
        self.ends: dict[Partition, int] = {}
        self.redelivered_ids: frozenset[str] = frozenset()
        self.counts: Counter[str] = Counter()
        # Number of a partition -> events.
        self.misrouted: Counter[int] = Counter()
        self.repeated: Counter[int] = Counter()
        # (agent, kind) -> events.
        self.by_agent: dict[tuple[str, str], Occurrences] = {}
        # Agent -> events that came long after their Kafka timestamp.
        self.late: dict[str, AgentCounts] = {}
        # Name of an object -> its content.
        self.artifacts: dict[str, bytes] = {}
        self.replayed: list[Replayed] = []
        self._events: list[pa.RecordBatch] = []
        self._dead_letters: list[pa.RecordBatch] = []

    def add(self, decoded: Decoded) -> None:
        """Add a poll to the buffer."""
        progress = decoded.progress
        self.positions |= {
            p: offset
            for p, offset in progress.positions.items()
            if offset > self.positions.get(p, NEVER_READ)
        }
        self.ends |= progress.ends
        self.redelivered_ids |= decoded.redelivered_ids
        self.counts.update(
            skipped=decoded.skipped,
            absurd_times=decoded.absurd_times,
            duplicates=decoded.duplicates,
        )
        self.misrouted.update(decoded.misrouted)
        self.repeated.update(decoded.repeated)
        for key, (count, example) in decoded.by_agent.items():
            before = self.by_agent[key].events if key in self.by_agent else 0
            self.by_agent[key] = Occurrences(before + count, example)
        if decoded.events.num_rows:
            self._events.append(decoded.events)
        if decoded.dead_letters.num_rows:
            self._dead_letters.append(decoded.dead_letters)
        self.rows += decoded.events.num_rows + decoded.dead_letters.num_rows
        self.bytes += decoded.events.nbytes + decoded.dead_letters.nbytes
        self.artifacts |= decoded.artifacts
        self.replayed += decoded.replayed
        self.bytes += sum(map(len, decoded.artifacts.values()))

    @property
    def marks(self) -> dict[tuple[int, int], Mark]:
        """(partition, offset) of each event that was a dead letter -> its mark."""
        return {(one.partition, one.offset): one.mark for one in self.replayed}

    def count_late(
        self,
        events: pa.RecordBatch,
        caught_up_ms: Mapping[Partition, int],
        settings: Settings,
    ) -> None:
        """Count the late events of a poll; arguments as of `late_by_agent`."""
        for agent, counts in late_by_agent(events, caught_up_ms, settings).items():
            self.late.setdefault(agent, AgentCounts()).add(counts)

    def events(self) -> pa.Table:
        """All events, as `DECODED_EVENTS`."""
        return pa.Table.from_batches(self._events, DECODED_EVENTS)

    def dead_letters(self) -> pa.Table:
        """All dead letters, as `DECODED_DEAD_LETTERS`."""
        return pa.Table.from_batches(self._dead_letters, DECODED_DEAD_LETTERS)
