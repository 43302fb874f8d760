"""What flows between the steps of a flow: one item per poll of its source."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from semloop.delta.streams import Origin


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source has read, whatever became of the records.

    `positions`: partition -> last offset read past, bad and control records included.
    `caught_up_ms`: partition -> wall clock, in milliseconds, when its end was reached.
    `end_offsets`: partition -> last known end, one beyond its last record.
    `last`: nothing follows: all that was there at the start has been read, or what
    comes next is gone.
    """

    positions: Mapping[int, int] = field(default_factory=dict)
    caught_up_ms: Mapping[int, int] = field(default_factory=dict)
    end_offsets: Mapping[int, int] = field(default_factory=dict)
    last: bool = False


@dataclass(frozen=True, slots=True)
class Polled:
    """One poll: `records` as `schemas.arrow.RECORDS`; no rows in a tick."""

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
class Standing:
    """How far `archive` is with a partition, as one snapshot of `events` says.

    `last_offset`: all records up to it are archived; -1 if none was read.
    `caught_up_ms`: wall clock, in milliseconds, when it last reached the end.
    """

    last_offset: int
    caught_up_ms: int | None


@dataclass(frozen=True, slots=True)
class PolledEvents:
    """One poll of the lake.

    `events` as `schemas.arrow.EVENTS`, of each origin in the order of its offsets; no
    rows in a tick.
    `positions`: origin -> last offset that nothing is left to read up to.
    `standings`: of every origin, as the snapshot has it whose rows these are.
    `complete`: all rows of that snapshot have been handed on by now.
    `last`: nothing follows: all that was there at the start has been read.
    """

    events: pa.Table
    positions: Mapping[Origin, int] = field(default_factory=dict)
    standings: Mapping[Origin, Standing] = field(default_factory=dict)
    complete: bool = False
    last: bool = False


def by_origin(rows: pa.Table) -> Iterator[tuple[Origin, pa.Table]]:
    """Rows that are in order, cut where another origin begins."""
    if not rows.num_rows:
        return
    names = rows["topic_id"].combine_chunks().dictionary_encode()
    topics = names.indices.to_numpy()
    partitions = rows["kafka_partition"].to_numpy()
    changed = (np.diff(topics) != 0) | (np.diff(partitions) != 0)
    starts = [0, *(np.flatnonzero(changed) + 1), rows.num_rows]
    for start, end in itertools.pairwise(starts):
        topic_id = names.dictionary[int(topics[start])].as_py()
        yield (topic_id, int(partitions[start])), rows.slice(start, end - start)


@dataclass(frozen=True, slots=True)
class Windowed:
    """One poll of the lake after its events were put into episodes.

    `told`: its messages, tool calls and errors, as `EVENTS`, and `places`, as `PLACES`,
    where each of them is, row by row. `episodes`: new revisions, `EPISODE_REVISIONS`.
    """

    told: pa.Table
    places: pa.Table
    episodes: pa.Table
    positions: Mapping[Origin, int] = field(default_factory=dict)
    standings: Mapping[Origin, Standing] = field(default_factory=dict)
    last: bool = False


@dataclass(frozen=True, slots=True)
class Chunked:
    """One poll as texts to be remembered: `memories` as `MEMORY_TEXTS`.

    `skipped`: why how many were not made memories, or got no vector.
    """

    memories: pa.Table
    windowed: Windowed
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vectored:
    """One poll whose texts have vectors: `memories` as `schemas.arrow.memories(..)`.

    Without `writer`, which the sink knows.
    """

    memories: pa.Table
    windowed: Windowed
    skipped: Mapping[str, int] = field(default_factory=dict)
