"""Plan the order of files so that the offsets of each partition increase.

Statistics in the Delta log cover a file's bounds over all of its partitions, so the
topic, partition and offset columns are read first: a few percent of the bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from semloop.delta.last_offsets import last_offsets
from semloop.delta.streams import Partition

COLUMNS = ["topic_id", "kafka_partition", "kafka_offset", "ingested_at"]
# Rows of these columns decoded at a time.
BATCH_ROWS = 2**16
NOTHING = np.iinfo(np.int64).max


class UnreadFilter:
    """Selects the rows beyond the position of their partition."""

    def __init__(self, positions: Mapping[Partition, int]) -> None:
        size = max((partition for _, partition in positions), default=-1) + 2
        # topic id -> position by partition; `NOTHING` selects no row of a partition.
        self._beyond: dict[str, npt.NDArray[np.int64]] = {}
        for (topic_id, partition), position in positions.items():
            beyond = self._beyond.setdefault(topic_id, np.full(size, NOTHING))
            beyond[partition] = position

    def may_select(self, last: Mapping[Partition, int]) -> bool:
        """Return False if no row up to these offsets is unread."""
        return any(
            offset > beyond[min(partition, len(beyond) - 1)]
            for (topic_id, partition), offset in last.items()
            if (beyond := self._beyond.get(topic_id)) is not None
        )

    def apply(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the unread rows of a batch."""
        partitions = rows["kafka_partition"].to_numpy(zero_copy_only=False)
        offsets = rows["kafka_offset"].to_numpy(zero_copy_only=False)
        mask = np.zeros(rows.num_rows, dtype=bool)
        for topic_id, beyond in self._beyond.items():
            # The last element is for all partitions that are not read here.
            own = np.minimum(partitions, len(beyond) - 1)
            equal = pc.equal(rows["topic_id"], topic_id).fill_null(False)
            mask |= equal.to_numpy(zero_copy_only=False) & (offsets > beyond[own])
        return rows if mask.all() else rows.filter(pa.array(mask))


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """First and last unread offset of a partition, and the number of rows."""

    first: int
    last: int
    rows: int

    def union(self, other: "OffsetRange | None") -> "OffsetRange":
        """Return the smallest range that covers both."""
        if other is None:
            return self
        first, last = min(self.first, other.first), max(self.last, other.last)
        return OffsetRange(first, last, self.rows + other.rows)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file with unread rows, and the row groups that contain them."""

    path: str
    row_groups: tuple[int, ...]
    ingested_at: datetime
    ranges: Mapping[Partition, OffsetRange]


@dataclass(slots=True)
class FileGroup:
    """Files that are read together; offsets of different groups do not interleave.

    `reached`: partition -> last offset of this group and of all groups before it.
    """

    files: list[PlannedFile]
    ranges: dict[Partition, OffsetRange]
    reached: dict[Partition, int]

    @property
    def rows(self) -> int:
        """Number of unread rows."""
        return sum(offsets.rows for offsets in self.ranges.values())


def plan_file(
    path: str, file: pa.NativeFile, unread: UnreadFilter
) -> PlannedFile | None:
    """Plan one file; None if it has no unread rows."""
    parquet = pq.ParquetFile(file)
    last = last_offsets(parquet.metadata.metadata)
    if last is not None and not unread.may_select(last):
        return None  # a compacted file, all of whose rows were read
    row_groups: list[int] = []
    ranges: dict[Partition, OffsetRange] = {}
    times: list[datetime] = []
    for group in range(parquet.num_row_groups):
        for batch in parquet.iter_batches(
            BATCH_ROWS, [group], COLUMNS, use_threads=False
        ):
            rows = unread.apply(_with_plain_strings(batch))
            if rows.num_rows:
                row_groups.append(group)
                times.append(pc.min(rows["ingested_at"]).as_py())
                for origin, offsets in _ranges(rows):
                    ranges[origin] = offsets.union(ranges.get(origin))
    if not row_groups:
        return None
    return PlannedFile(path, tuple(dict.fromkeys(row_groups)), min(times), ranges)


def group_files(files: Iterable[PlannedFile]) -> list[FileGroup]:
    """Group files, in the order in which they must be read.

    Files of successive commits do not interleave. Files written by maintenance may
    overlap in one partition, or be in opposite order in two; they form one group with
    all files between them.
    """
    groups: list[FileGroup] = []
    for file in sorted(files, key=lambda file: (file.ingested_at, file.path)):
        group = FileGroup([file], dict(file.ranges), {})
        while groups and any(
            offsets.first <= groups[-1].reached.get(origin, -1)
            for origin, offsets in file.ranges.items()
        ):
            earlier = groups.pop()
            group.files = earlier.files + group.files
            for origin, offsets in earlier.ranges.items():
                group.ranges[origin] = offsets.union(group.ranges.get(origin))
        group.reached = dict(groups[-1].reached) if groups else {}
        for origin, offsets in group.ranges.items():
            group.reached[origin] = max(offsets.last, group.reached.get(origin, -1))
        groups.append(group)
    return groups


def _with_plain_strings(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Cast string views, which delta-rs maintenance writes and few functions accept."""
    at = rows.schema.get_field_index("topic_id")
    return rows.set_column(at, "topic_id", rows["topic_id"].cast(pa.string()))


def _ranges(rows: pa.RecordBatch) -> Iterable[tuple[Partition, OffsetRange]]:
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
        bounds = (row[f"kafka_offset_{n}"] for n in ("min", "max", "count"))
        yield origin, OffsetRange(*bounds)
