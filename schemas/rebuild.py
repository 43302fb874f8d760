"""What `rebuild` finds in a lake, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa

from semloop.delta.streams import Partition

SHARES = pa.schema(
    [
        ("topic_id", pa.string()),
        ("kafka_partition", pa.int32()),
        ("namespace", pa.string()),
        ("first_offset", pa.int64()),
    ]
)
# Rows of one origin and namespace: retention removes the oldest of them.
Share = tuple[Partition, str | None]


class HeldRange(NamedTuple):
    """The rows of one share that `events` has: the first and last offset, and count."""

    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class Held:
    """What `events` still has.

    Attributes:
        ranges: share -> its rows. A share that is absent has none.
        ends: partition -> one beyond the last offset that `archive` has committed.
        lost: partition -> offsets before the first one of which a row is held.
    """

    ranges: Mapping[Share, HeldRange]
    ends: Mapping[Partition, int]
    lost: Mapping[Partition, int] = field(default_factory=dict)

    @cached_property
    def rows(self) -> int:
        """Number of rows."""
        return sum(held.rows for held in self.ranges.values())

    @property
    def table(self) -> pa.Table:
        """The first offset of each share, for queries: columns as in `SHARES`."""
        rows = [
            (partition.topic_id, partition.number, namespace, found.first)
            for (partition, namespace), found in self.ranges.items()
        ]
        columns = zip(*rows, strict=True) if rows else [()] * len(SHARES)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, SHARES, strict=True)]
        return pa.table(arrays, schema=SHARES)

    def first(self, partition: Partition, namespace: str | None) -> int | None:
        """Return the first held offset of a share; None if none is held."""
        found = self.ranges.get((partition, namespace))
        return None if found is None else found.first

    def has_lost(self, before: "Held") -> bool:
        """Return True if rows are gone that an earlier look found."""
        return any(
            share not in self.ranges or self.ranges[share].first > held.first
            for share, held in before.ranges.items()
        )


@dataclass(frozen=True)
class Plan:
    """What a rebuild would read and keep.

    Attributes:
        held: the rows of `events`.
        episodes: episodes of the table.
        carried: those of them that begin before the first held event of their origin.
        lost: offsets whose records neither `events` nor `episodes` tell about any more.
    """

    held: Held
    episodes: int
    carried: int
    lost: int


@dataclass
class RebuildReport:
    """Result of a rebuild.

    Attributes:
        generation: number of the new generation.
        model: id of the embedder's model.
        events: events that were read.
        episodes: episodes of the new table.
        carried: those of them that were copied, not computed.
        memories: memories that were written; `carried_memories` of them were copied.
        skipped: texts that the settings leave out.
    """

    generation: int
    model: str
    events: int = 0
    episodes: int = 0
    carried: int = 0
    memories: int = 0
    carried_memories: int = 0
    skipped: int = 0


class Difference(NamedTuple):
    """An episode that `episodes` and a computation from `events` do not share.

    `stored`, `computed`: the offset of its last event, None if it is absent.
    """

    reason: str
    episode_id: str
    partition: int
    namespace: str | None
    session_id: str
    first_offset: int
    stored: int | None
    computed: int | None


@dataclass(frozen=True)
class Parity:
    """Result of a verification.

    Attributes:
        stored: hash of the episodes of the table whose rows are all held.
        computed: hash of the same episodes, computed from `events`.
        compared: number of episodes of the table whose rows are all held.
        differences: at most `LISTED_MAX` of those that differ.
        reasons: reason -> number of episodes that differ.
        carried: number of episodes that cannot be computed.
        carried_ids: the ids of at most `LISTED_MAX` of them.
    """

    stored: str
    computed: str
    compared: int
    differences: tuple[Difference, ...]
    reasons: Mapping[str, int]
    carried: int
    carried_ids: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """True if the table is what `events` give."""
        return self.stored == self.computed and not self.reasons


# Lines of a report that a person reads.
LISTED_MAX = 100
