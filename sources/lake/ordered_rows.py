"""Rows of many files in offset order, in bounded memory.

Each file is read once, sequentially. Rows of a file group that do not fit into memory
are spilled to unnamed temporary files, one per range of offsets, and read back one file
at a time.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.arrow import EVENTS as SCHEMA
from schemas.batches import by_partition
from semloop.delta.streams import Partition
from semloop.errors import StorageUnavailable
from semloop.storage.damage import naming
from sources.lake.read_plan import (
    FileGroup,
    OffsetRange,
    PlannedFile,
    UnreadFilter,
)
from sources.lake.streams import EVENTS

# Rows in memory before they are spilled, and so about the size of a spill file; sorting
# needs the same amount again.
MEMORY_BYTES = 12 * 2**20
# Payloads of a piece, unless the first alone is larger: what is made of them is in
# memory together, and is made again after a crash.
PIECE_BYTES = 2 * 2**20
# Each is an open file descriptor.
SPILL_FILES_MAX = 200
# Rows decoded at a time.
DECODED_ROWS = 4_096
# A smaller file is read as a whole: one request to an object store.
SMALL_BYTES = 2**20
OpenFile = Callable[[str], pa.NativeFile]
IN_ORDER = [(n, "ascending") for n in ("topic_id", "kafka_partition", "kafka_offset")]


class OrderedRows:
    """The rows of file groups, in pieces: in offset order within each partition.

    Memory: `MEMORY_BYTES` of rows, three times that while they are sorted, and the
    compressed bytes of one row group, which pyarrow reads as a whole. A file group
    larger than `SPILL_FILES_MAX` times `MEMORY_BYTES` has larger spill files.
    """

    def __init__(
        self,
        groups: Sequence[FileGroup],
        unread: UnreadFilter,
        open_file: OpenFile,
        rows_max: int,
    ) -> None:
        """Prepare to read; the first `next` opens the first file.

        Args:
            groups: the files to read, in order.
            unread: selects the rows to return.
            open_file: opens a file of the lake.
            rows_max: maximum rows of a piece; a piece has fewer if its payloads are
                large.
        """
        self._groups = deque(groups)
        self._unread = unread
        self._open = open_file
        self._rows_max = rows_max
        self._spill_files: deque[IO[bytes]] = deque()
        self._pieces: deque[pa.Table] = deque()

    @property
    def done(self) -> bool:
        """True if no rows are left."""
        return not (self._pieces or self._spill_files or self._groups)

    def next(self) -> pa.Table:
        """Return the next piece, with schema `schemas.arrow.EVENTS`.

        Raises:
            OSError, ArrowInvalid: a file cannot be read, or no longer exists.
            StorageUnavailable: no disk space for spilled rows.
        """
        if not self._pieces:
            rows = self._next_spilled() if self._spill_files else self._load()
            self._pieces.extend(_pieces(rows, self._rows_max))
        return self._pieces.popleft()

    def close(self) -> None:
        """Free the disk space of spilled rows."""
        while self._spill_files:
            self._spill_files.popleft().close()

    def _load(self) -> pa.Table:
        """Read the next group, and small ones after it, up to the rows of a piece."""
        taken = [self._groups.popleft()]
        rows = taken[0].rows
        while self._groups and rows + self._groups[0].rows <= self._rows_max:
            taken.append(self._groups.popleft())
            rows += taken[-1].rows
        ranges: dict[Partition, OffsetRange] = {}
        for origin, offsets in (item for g in taken for item in g.ranges.items()):
            ranges[origin] = offsets.union(ranges.get(origin))
        batches, size = [], 0
        spill: _SpillFiles | None = None
        for batch in self._batches(file for group in taken for file in group.files):
            batches.append(batch)
            size += batch.nbytes
            if size >= MEMORY_BYTES:
                if spill is None:
                    seen = sum(batch.num_rows for batch in batches)
                    count = min(SPILL_FILES_MAX, 1 + rows // seen)
                    spill = _SpillFiles(ranges, count)
                spill.add(_sorted(batches))
                batches, size = [], 0
        if spill is None:
            return _sorted(batches)
        if batches:
            spill.add(_sorted(batches))
        self._spill_files = spill.finish()
        return self._next_spilled()

    def _batches(self, files: Iterable[PlannedFile]) -> Iterator[pa.RecordBatch]:
        for planned in files:
            name = f"{EVENTS}/{planned.path}"
            with self._open(name) as file, naming(name):
                small = file.size() <= SMALL_BYTES
                source = pa.BufferReader(file.read()) if small else file
                parquet = pq.ParquetFile(source)
                names = set(parquet.schema_arrow.names)
                columns = [name for name in SCHEMA.names if name in names]
                # One by one: row groups requested together are in memory together.
                for group in planned.row_groups:
                    for batch in parquet.iter_batches(
                        DECODED_ROWS, [group], columns, use_threads=False
                    ):
                        rows = self._unread.apply(_as_events(batch))
                        if rows.num_rows:
                            yield rows

    def _next_spilled(self) -> pa.Table:
        with self._spill_files.popleft() as file:
            file.seek(0)
            with _spilling(), pa.ipc.open_stream(file) as stream:
                return stream.read_all().sort_by(IN_ORDER)


class _SpillFiles:
    """Rows on disk; each file covers one range of offsets of one partition."""

    def __init__(self, ranges: Mapping[Partition, OffsetRange], count: int) -> None:
        rows = sum(offsets.rows for offsets in ranges.values())
        self._first = {origin: offsets.first for origin, offsets in ranges.items()}
        self._width = {
            origin: -(
                (offsets.first - offsets.last - 1)
                // max(1, count * offsets.rows // rows)
            )
            for origin, offsets in ranges.items()
        }
        self._files: dict[tuple[Partition, int], IO[bytes]] = {}
        self._writers: dict[tuple[Partition, int], pa.ipc.RecordBatchStreamWriter] = {}

    def add(self, rows: pa.Table) -> None:
        """Write some rows, which must be sorted."""
        with _spilling():
            for origin, own in by_partition(rows):
                offsets = own["kafka_offset"].to_numpy()
                codes = (offsets - self._first[origin]) // self._width[origin]
                starts = np.flatnonzero(np.diff(codes, prepend=-1))
                for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
                    key = (origin, int(codes[start]))
                    self._writer(key).write_table(own.slice(start, end - start))

    def finish(self) -> deque[IO[bytes]]:
        """Return the files, in the order of their offsets."""
        with _spilling():
            for writer in self._writers.values():
                writer.close()
        return deque(self._files[key] for key in sorted(self._files))

    def _writer(self, key: tuple[Partition, int]) -> "pa.ipc.RecordBatchStreamWriter":
        if key not in self._writers:
            # Unnamed, so that no file is left when the process is killed.
            file = self._files[key] = tempfile.TemporaryFile()  # noqa: SIM115 - closed later
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writers[key] = pa.ipc.new_stream(file, SCHEMA, options=options)
        return self._writers[key]


def _pieces(rows: pa.Table, rows_max: int) -> Iterator[pa.Table]:
    sizes = pc.fill_null(pc.binary_length(rows["payload"]), 0)
    ends = np.cumsum(sizes.to_numpy(), dtype=np.int64)
    first = before = 0
    while first < rows.num_rows:
        within = int(np.searchsorted(ends, before + PIECE_BYTES, "right"))
        end = min(max(within, first + 1), first + rows_max, rows.num_rows)
        yield rows.slice(first, end - first)
        first, before = end, int(ends[end - 1])


def _sorted(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches, SCHEMA).sort_by(IN_ORDER)


def _as_events(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Add missing columns: old files lack some, and no file contains `date`."""
    columns = {name: rows[name] for name in rows.schema.names}
    columns["date"] = rows["ingested_at"].cast(pa.date32())
    return pa.RecordBatch.from_arrays(
        [
            columns[field.name].cast(field.type)
            if field.name in columns
            else pa.nulls(rows.num_rows, field.type)
            for field in SCHEMA
        ],
        schema=SCHEMA,
    )


@contextmanager
def _spilling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        msg = f"Rows cannot be sorted in {tempfile.gettempdir()}: {reason}."
        todo = "Free space there, or set TMPDIR to a folder on a larger disk."
        raise StorageUnavailable(msg, todo) from error
