"""The items between the steps of a flow: one item per poll of its source."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from schemas.compression import Compression
from schemas.large_record import LargeRecord
from schemas.replay import Replayed
from semloop.delta.file_name import COLD_LEVEL, UNNUMBERED, WIDE_LEVEL, FileName
from semloop.delta.streams import Partition


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source has read, independent of what later steps did with the rows.

    Attributes:
        positions: partition -> last offset read past, bad and control records included.
        ends: partition -> the source's last known end, one beyond its last record. For
            a flow that reads a table, the end is what the writer of that table has
            committed.
        caught_up_ms: partition -> wall clock, ms, when it last reached the end.
        seen_ms: wall clock, in milliseconds, when a source that reads a table looked
            for a newer version, and found these ends.
        complete: for a snapshot of a table: True once all rows have been returned.
        last: True if no item follows: it is at the end of its start, or at a gap.
        oldest_ms: the smallest Kafka timestamp of the records; None without records.
    """

    positions: Mapping[Partition, int] = field(default_factory=dict)
    ends: Mapping[Partition, int] = field(default_factory=dict)
    caught_up_ms: Mapping[Partition, int] = field(default_factory=dict)
    seen_ms: int | None = None
    complete: bool = False
    last: bool = False
    oldest_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """One poll of Kafka: `records` as `schemas.arrow.RECORDS`; no rows while idle.

    `sizes`: bytes of each value as it was produced, if redaction may have changed them.
    `large`: row -> the record that this row had before its values were moved.
    `cluster_id`: where the records are from.
    """

    records: pa.RecordBatch
    progress: Progress
    sizes: pa.Array | None = None
    large: Mapping[int, LargeRecord] = field(default_factory=dict)
    cluster_id: str = ""


class Occurrences(NamedTuple):
    """Number of events of one agent and kind, and the id of the last one."""

    events: int
    example: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """One poll after decoding: each record is an event, a dead letter or skipped.

    `events` as `DECODED_EVENTS` and `dead_letters` as `DECODED_DEAD_LETTERS`.
    `redelivered_ids`: keys of events and ids of dead letters that must be looked up in
    the whole table.
    `skipped`: tombstones and empty values. `misrouted`: events by partition whose key
    is not their session. `repeated`: events by partition whose id another partition
    has in its dedupe window.
    `by_agent`: (agent, kind) -> misrouted events, and those that repeat an id without a
    header that says so; kinds as in `semloop.progress.activity`.
    `absurd_times`: records whose Kafka timestamp was replaced by the time of arrival.
    `artifacts`: name of an object -> its content; events name it in `artifacts`.
    `replayed`: the events that were made of dead letters, also those that are dropped
    as repeated later.
    """

    events: pa.RecordBatch
    dead_letters: pa.RecordBatch
    progress: Progress
    redelivered_ids: frozenset[str] = frozenset()
    skipped: int = 0
    misrouted: Mapping[int, int] = field(default_factory=dict)
    repeated: Mapping[int, int] = field(default_factory=dict)
    by_agent: Mapping[tuple[str, str], Occurrences] = field(default_factory=dict)
    absurd_times: int = 0
    duplicates: int = 0
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    replayed: Sequence[Replayed] = ()


@dataclass(frozen=True, slots=True)
class PolledEvents:
    """One poll of the lake.

    `events` as `schemas.arrow.EVENTS`, ordered by offset within each partition; no rows
    while idle.
    """

    events: pa.Table
    progress: Progress = field(default_factory=Progress)


def by_partition(rows: pa.Table) -> Iterator[tuple[Partition, pa.Table]]:
    """Split ordered rows where the partition changes."""
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
    revisions, as `EPISODE_REVISIONS`. `closed_early`: number of events that continue an
    episode which inactivity had closed.
    """

    memorable: pa.Table
    episode_positions: pa.Table
    episodes: pa.Table
    progress: Progress = field(default_factory=Progress)
    closed_early: int = 0


@dataclass(frozen=True, slots=True)
class Chunked:
    """One poll as texts to embed: `memories` as `MEMORY_TEXTS`.

    `episodes`: new revisions, as `EPISODE_REVISIONS`. `skipped`: reason -> number of
    texts that became no memory or have no vector.
    """

    memories: pa.Table
    episodes: pa.Table
    progress: Progress
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vectored:
    """One poll with vectors: `memories` as `schemas.arrow.memories(..)`.

    The sink adds `writer`. The other attributes are as in `Chunked`.
    """

    memories: pa.Table
    episodes: pa.Table
    progress: Progress
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReindexPart:
    """A part of what a new generation of memories is made of.

    `events`: rows of `events`, ordered by offset within each partition. Those up to
    `after` are already in the generation, and are only read to find the positions of
    the others in their episodes. `episodes`: closed episodes, as `EPISODE_REVISIONS`.
    `until`: events beyond it belong to another round.

    `progress.positions`: the position of the generation once it contains this batch.
    `progress.complete`: True for the end of a round.
    """

    events: pa.Table
    episodes: pa.Table
    after: Mapping[Partition, int] = field(default_factory=dict)
    until: Mapping[Partition, int] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class MaintenanceTask:
    """The generation of memories whose table to compact and index."""

    generation: int
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class VacuumTask:
    """The table, or the folder of artifacts, of which to delete the unused files."""

    table: str
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a table; `ingested_at` is that of its newest row."""

    path: str
    size_bytes: int
    name: FileName
    ingested_at: datetime

    @property
    def place(self) -> tuple[int, datetime, str]:
        """Sort key: the order of commits."""
        return self.name.first, self.ingested_at, self.path


@dataclass(frozen=True)
class Merge:
    """Files of consecutive commits that one file replaces.

    `date`: None for a table without dates. `first`: the number of the first commit, if
    the names of the files do not tell it. `keep`: SQL condition of the rows that the
    file has. `cold`: how it is compressed, if the date is old. `wide`: its wide rows
    keep it from further merges. `unsorted`: they do not fit in memory to be sorted.
    """

    table: str
    version: int
    date: date | None
    files: tuple[DataFile, ...]
    first: int = UNNUMBERED
    keep: str = "true"
    cold: Compression | None = None
    wide: bool = False
    unsorted: bool = False
    progress: Progress = field(default_factory=Progress)

    @cached_property
    def name(self) -> FileName:
        """What the name of the merged file tells."""
        names = [file.name for file in self.files]
        # The rows of files that flows wrote are all in the version that was read.
        complete = [
            self.version if name.complete_at is None else name.complete_at
            for name in names
        ]
        level = 1 + max(name.level for name in names)
        if self.wide:
            level = max(level, WIDE_LEVEL)
        if self.cold:
            level = max(level, COLD_LEVEL)
        return FileName(level, max(self.first, names[0].first), max(complete))


@dataclass(frozen=True, slots=True)
class ExpiredDate:
    """The files of one date of a table, and which of its rows have expired.

    `condition`: as `operators.retention.expired_rows` returns it.
    `later`: the files of the later dates.
    """

    table: str
    version: int
    date: date
    files: tuple[DataFile, ...]
    later: tuple[DataFile, ...]
    condition: str
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, slots=True)
class ExpiredMemories:
    """Those that a condition in Lance's SQL selects, and those beyond a number."""

    generation: int
    condition: str
    counts_max: Mapping[str, int]
    progress: Progress = field(default_factory=Progress)
