"""Rows of many files in the order of their offsets, in bounded memory.

Every file is read once, from its beginning to its end. Rows of a run that do not fit
into memory go to nameless files in the folder for temporary ones, sorted into windows
of offsets, and come back a window at a time.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import EVENTS as SCHEMA
from schemas.batches import by_partition
from semloop.delta.streams import Partition
from semloop.errors import StorageUnavailable
from sources.lake.read_plan import Part, Run, Span, Wanted
from sources.lake.streams import EVENTS

# Rows in memory before they are spilled, and so about the size of a window; sorting
# needs the same again.
MEMORY_BYTES = 12 * 2**20
# Each is an open file.
WINDOWS_MAX = 200
# Rows that are decoded at a time.
DECODED_ROWS = 4_096
# A smaller file is fetched as a whole: of an object store by one request.
SMALL_BYTES = 2**20
OpenFile = Callable[[str], pa.NativeFile]
IN_ORDER = [(n, "ascending") for n in ("topic_id", "kafka_partition", "kafka_offset")]


class OrderedRows:
    """The rows of runs, by pieces: of each origin in the order of its offsets.

    Memory: `MEMORY_BYTES` of rows, thrice while they are sorted, and the compressed
    bytes of one row group of a file, which pyarrow reads at once. A run that is larger
    than `WINDOWS_MAX` times that has larger windows.
    """

    def __init__(
        self, runs: Sequence[Run], wanted: Wanted, open_file: OpenFile, rows_max: int
    ) -> None:
        """Nothing is read before `next`.

        Args:
            runs: what is to be read, in order.
            wanted: which of their rows.
            open_file: opens a file of the lake.
            rows_max: rows of a piece.
        """
        self._runs = deque(runs)
        self._wanted = wanted
        self._open = open_file
        self._rows_max = rows_max
        self._windows: deque[IO[bytes]] = deque()
        self._pieces: deque[pa.Table] = deque()

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return not (self._pieces or self._windows or self._runs)

    def next(self) -> pa.Table:
        """The next piece, as `schemas.arrow.EVENTS`.

        Raises:
            OSError, ArrowInvalid: a file cannot be read, or is no longer there.
            StorageUnavailable: no room for what does not fit into memory.
        """
        if not self._pieces:
            rows = self._window() if self._windows else self._load()
            for first in range(0, rows.num_rows, self._rows_max):
                self._pieces.append(rows.slice(first, self._rows_max))
        return self._pieces.popleft()

    def close(self) -> None:
        """Give back the space of what was spilled."""
        while self._windows:
            self._windows.popleft().close()

    def _load(self) -> pa.Table:
        """Read the next run, and small ones after it, up to a piece together."""
        taken = [self._runs.popleft()]
        rows = taken[0].rows
        while self._runs and rows + self._runs[0].rows <= self._rows_max:
            taken.append(self._runs.popleft())
            rows += taken[-1].rows
        spans: dict[Partition, Span] = {}
        for origin, span in (item for run in taken for item in run.spans.items()):
            spans[origin] = span.joined(spans.get(origin))
        batches, size = [], 0
        spilled: _Spilled | None = None
        for batch in self._batches(part for run in taken for part in run.parts):
            batches.append(batch)
            size += batch.nbytes
            if size >= MEMORY_BYTES:
                if spilled is None:
                    seen = sum(batch.num_rows for batch in batches)
                    windows = min(WINDOWS_MAX, 1 + rows // seen)
                    spilled = _Spilled(spans, windows)
                spilled.add(_sorted(batches))
                batches, size = [], 0
        if spilled is None:
            return _sorted(batches)
        if batches:
            spilled.add(_sorted(batches))
        self._windows = spilled.windows()
        return self._window()

    def _batches(self, parts: Iterable[Part]) -> Iterator[pa.RecordBatch]:
        for part in parts:
            with self._open(f"{EVENTS}/{part.path}") as file:
                small = file.size() <= SMALL_BYTES
                source = pa.BufferReader(file.read()) if small else file
                parquet = pq.ParquetFile(source)
                names = set(parquet.schema_arrow.names)
                columns = [name for name in SCHEMA.names if name in names]
                # One by one: asked for together they are held together.
                for group in part.groups:
                    for batch in parquet.iter_batches(
                        DECODED_ROWS, [group], columns, use_threads=False
                    ):
                        rows = self._wanted.of(_as_events(batch))
                        if rows.num_rows:
                            yield rows

    def _window(self) -> pa.Table:
        with self._windows.popleft() as file:
            file.seek(0)
            with _spilling(), pa.ipc.open_stream(file) as stream:
                return stream.read_all().sort_by(IN_ORDER)


class _Spilled:
    """Rows on disk, by windows of the offsets of each origin."""

    def __init__(self, spans: Mapping[Partition, Span], windows: int) -> None:
        rows = sum(span.rows for span in spans.values())
        self._first = {origin: span.first for origin, span in spans.items()}
        self._width = {
            origin: -(
                (span.first - span.last - 1) // max(1, windows * span.rows // rows)
            )
            for origin, span in spans.items()
        }
        self._files: dict[tuple[Partition, int], IO[bytes]] = {}
        self._writers: dict[tuple[Partition, int], pa.ipc.RecordBatchStreamWriter] = {}

    def add(self, rows: pa.Table) -> None:
        """Put away some rows, which are in order."""
        with _spilling():
            for origin, own in by_partition(rows):
                offsets = own["kafka_offset"].to_numpy()
                codes = (offsets - self._first[origin]) // self._width[origin]
                starts = np.flatnonzero(np.diff(codes, prepend=-1))
                for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
                    window = (origin, int(codes[start]))
                    self._writer(window).write_table(own.slice(start, end - start))

    def windows(self) -> deque[IO[bytes]]:
        """The files, in the order of what they hold."""
        with _spilling():
            for writer in self._writers.values():
                writer.close()
        return deque(self._files[window] for window in sorted(self._files))

    def _writer(
        self, window: tuple[Partition, int]
    ) -> "pa.ipc.RecordBatchStreamWriter":
        if window not in self._writers:
            # It has no name, so that nothing is left when the process is killed.
            file = self._files[window] = tempfile.TemporaryFile()  # noqa: SIM115 - kept
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writers[window] = pa.ipc.new_stream(file, SCHEMA, options=options)
        return self._writers[window]


def _sorted(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches, SCHEMA).sort_by(IN_ORDER)


def _as_events(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows with all columns: old files lack some, and none has the date."""
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
