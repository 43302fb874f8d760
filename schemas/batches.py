"""What flows between the steps of a flow: one item per poll of its source."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from semloop.delta.streams import Partition


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source has read, whatever became of the rows.

    Attributes:
        positions: partition -> last offset read past, bad and control records included.
        ends: partition -> the source's last known end, one beyond its last record. For
            a flow that reads a table, the source is what the writer of that table has
            committed.
        caught_up_ms: partition -> wall clock, in milliseconds, when the source's end
            was last reached.
        complete: of a snapshot of a table: all of its rows have been returned.
        last: nothing follows: all that was there at the start has been read, or what
            comes next is gone.
    """

    positions: Mapping[Partition, int] = field(default_factory=dict)
    ends: Mapping[Partition, int] = field(default_factory=dict)
    caught_up_ms: Mapping[Partition, int] = field(default_factory=dict)
    complete: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class Polled:
    """One poll of Kafka: `records` as `schemas.arrow.RECORDS`; no rows in a tick."""

    records: pa.RecordBatch
    progress: Progress


@dataclass(frozen=True, slots=True)
class Decoded:
    """One poll after its records were judged.

    `events` as `DECODED_EVENTS` and `dead_letters` as `DECODED_DEAD_LETTERS`.
    `redelivered_ids`: the ids, of either, that must be looked up in the whole table.
    `skipped`: tombstones and empty values. `misrouted`: key other than the session's.
    """

    events: pa.RecordBatch
    dead_letters: pa.RecordBatch
    progress: Progress
    redelivered_ids: frozenset[str] = frozenset()
    skipped: int = 0
    misrouted: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class PolledEvents:
    """One poll of the lake.

    `events` as `schemas.arrow.EVENTS`, of each partition in the order of its offsets;
    no rows in a tick.
    """

    events: pa.Table
    progress: Progress = field(default_factory=Progress)


def by_partition(rows: pa.Table) -> Iterator[tuple[Partition, pa.Table]]:
    """Rows that are in order, cut where another partition begins."""
    if not rows.num_rows:
        return
    names = rows["topic_id"].combine_chunks().dictionary_encode()
    topics = names.indices.to_numpy()
    partitions = rows["kafka_partition"].to_numpy()
    changed = (np.diff(topics) != 0) | (np.diff(partitions) != 0)
    starts = [0, *(np.flatnonzero(changed) + 1), rows.num_rows]
    for start, end in itertools.pairwise(starts):
        topic_id = names.dictionary[int(topics[start])].as_py()
        partition = Partition(topic_id, int(partitions[start]))
        yield partition, rows.slice(start, end - start)


@dataclass(frozen=True, slots=True)
class Assigned:
    """One poll of the lake with its events assigned to episodes.

    `memorable`: its messages, tool calls and errors, as `EVENTS`. `episode_positions`:
    the position of each of them, row by row, as `EPISODE_POSITIONS`. `episodes`: new
    revisions, as `EPISODE_REVISIONS`.
    """

    memorable: pa.Table
    episode_positions: pa.Table
    episodes: pa.Table
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class Chunked:
    """One poll as texts to be remembered: `memories` as `MEMORY_TEXTS`.

    `episodes`: new revisions, `EPISODE_REVISIONS`. `skipped`: reason -> how many were
    not made memories, or got no vector.
    """

    memories: pa.Table
    episodes: pa.Table
    progress: Progress
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vectored:
    """One poll whose texts have vectors: `memories` as `schemas.arrow.memories(..)`.

    Without `writer`, which the sink knows. The rest is as in `Chunked`.
    """

    memories: pa.Table
    episodes: pa.Table
    progress: Progress
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReindexPart:
    """A part of what a new generation of memories is made of.

    `events`: rows of `events`, of each partition in the order of its offsets; those up
    to `after` are in the generation already, and only say where the others are in their
    episodes. `episodes`: closed ones, `EPISODE_REVISIONS`. `until`: events beyond it
    are for another round.

    `progress.positions`: what is in the generation once this is. `progress.complete`:
    this is the end of a round.
    """

    events: pa.Table
    episodes: pa.Table
    after: Mapping[Partition, int] = field(default_factory=dict)
    until: Mapping[Partition, int] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The generation of memories whose table is to be kept quick to search."""

    generation: int
    progress: Progress = field(default_factory=Progress)
