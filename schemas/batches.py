"""What flows between the steps of a flow: one item per poll of its source."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa


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
    `once`: the ids, of either, that must be looked up in the whole table.
    `skipped`: tombstones and empty values. `misrouted`: key other than the session's.
    """

    events: pa.RecordBatch
    dead_letters: pa.RecordBatch
    progress: Progress
    once: frozenset[str] = frozenset()
    skipped: int = 0
    misrouted: int = 0
    duplicates: int = 0


# Topic id and partition: in each of them offsets grow for ever.
Origin = tuple[str, int]


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
