"""In which order files must be read so that each partition's offsets grow.

Statistics in the log tell only the bounds of a file over all of its partitions, so the
columns of the origin are read first: a few percent of the bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from semloop.delta.streams import Partition

COLUMNS = ["topic_id", "kafka_partition", "kafka_offset", "ingested_at"]
# Rows of these columns that are decoded at a time.
BATCH_ROWS = 2**16
NOTHING = np.iinfo(np.int64).max


class Wanted:
    """Which rows are still wanted: those beyond the position of their origin."""

    def __init__(self, positions: Mapping[Partition, int]) -> None:
        size = max((partition for _, partition in positions), default=-1) + 2
        # topic id -> position by partition; of partitions that are others' no row.
        self._beyond: dict[str, npt.NDArray[np.int64]] = {}
        for (topic_id, partition), position in positions.items():
            beyond = self._beyond.setdefault(topic_id, np.full(size, NOTHING))
            beyond[partition] = position

    def of(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The wanted ones of some rows."""
        partitions = rows["kafka_partition"].to_numpy(zero_copy_only=False)
        offsets = rows["kafka_offset"].to_numpy(zero_copy_only=False)
        mask = np.zeros(rows.num_rows, dtype=bool)
        for topic_id, beyond in self._beyond.items():
            # The last place is that of all partitions which nobody asked for.
            own = np.minimum(partitions, len(beyond) - 1)
            equal = pc.equal(rows["topic_id"], topic_id).fill_null(False)
            mask |= equal.to_numpy(zero_copy_only=False) & (offsets > beyond[own])
        return rows if mask.all() else rows.filter(pa.array(mask))


@dataclass(frozen=True, slots=True)
class Span:
    """First and last wanted offset of an origin, and how many rows."""

    first: int
    last: int
    rows: int

    def joined(self, other: "Span | None") -> "Span":
        """What holds both."""
        if other is None:
            return self
        first, last = min(self.first, other.first), max(self.last, other.last)
        return Span(first, last, self.rows + other.rows)


@dataclass(frozen=True, slots=True)
class Part:
    """A file that holds wanted rows, and in which of its row groups."""

    path: str
    groups: tuple[int, ...]
    ingested_at: datetime
    spans: Mapping[Partition, Span]


@dataclass(slots=True)
class Run:
    """Files that are read together: their offsets lie between those of other runs.

    `reached`: origin -> last offset of this run and of all runs before it.
    """

    parts: list[Part]
    spans: dict[Partition, Span]
    reached: dict[Partition, int]

    @property
    def rows(self) -> int:
        """How many are wanted."""
        return sum(span.rows for span in self.spans.values())


def part_of(path: str, file: pa.NativeFile, wanted: Wanted) -> Part | None:
    """What is wanted of a file; None if nothing is."""
    parquet = pq.ParquetFile(file)
    groups: list[int] = []
    spans: dict[Partition, Span] = {}
    times: list[datetime] = []
    for group in range(parquet.num_row_groups):
        for batch in parquet.iter_batches(
            BATCH_ROWS, [group], COLUMNS, use_threads=False
        ):
            rows = wanted.of(_plain(batch))
            if rows.num_rows:
                groups.append(group)
                times.append(pc.min(rows["ingested_at"]).as_py())
                for origin, span in _spans(rows):
                    spans[origin] = span.joined(spans.get(origin))
    return (
        Part(path, tuple(dict.fromkeys(groups)), min(times), spans) if groups else None
    )


def runs_of(parts: Iterable[Part]) -> list[Run]:
    """Runs in the order in which they are to be read.

    Files of commits follow one another; those that maintenance wrote may overlap in one
    partition or be crossed in two, and then come together with all between them.
    """
    runs: list[Run] = []
    for part in sorted(parts, key=lambda part: (part.ingested_at, part.path)):
        run = Run([part], dict(part.spans), {})
        while runs and any(
            span.first <= runs[-1].reached.get(origin, -1)
            for origin, span in part.spans.items()
        ):
            earlier = runs.pop()
            run.parts = earlier.parts + run.parts
            for origin, span in earlier.spans.items():
                run.spans[origin] = span.joined(run.spans.get(origin))
        run.reached = dict(runs[-1].reached) if runs else {}
        for origin, span in run.spans.items():
            run.reached[origin] = max(span.last, run.reached.get(origin, -1))
        runs.append(run)
    return runs


def _plain(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Maintenance by delta-rs leaves texts as views, which few functions take."""
    at = rows.schema.get_field_index("topic_id")
    return rows.set_column(at, "topic_id", rows["topic_id"].cast(pa.string()))


def _spans(rows: pa.RecordBatch) -> Iterable[tuple[Partition, Span]]:
    groups = (
        pa.Table.from_batches([rows])
        .group_by(["topic_id", "kafka_partition"])
        .aggregate(
            [
                ("kafka_offset", "min"),
                ("kafka_offset", "max"),
                ("kafka_offset", "count"),
            ]
        )
    )
    for row in groups.to_pylist():
        origin = Partition(row["topic_id"], row["kafka_partition"])
        yield origin, Span(*(row[f"kafka_offset_{n}"] for n in ("min", "max", "count")))
