"""Reads memories of one version of the table into memory."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from semloop.lake.recall.features import Features
from semloop.lake.recall.resident.segment import Segment, columns
from semloop.lake.recall.searches import ROW_ID

if TYPE_CHECKING:
    from lancedb.table import Table

# Memories of a segment: 50 MB of vectors, in memory twice while they are read. Each
# search visits all segments, so that a large table has no more than `SEGMENTS`.
SEGMENT_ROWS = 32_768
SEGMENTS = 16
# Segments that follow the table are merged up to this size: a recall waits for it.
MERGED_ROWS = 16_384
# New memories that a recall waits for; more are read in the background.
ADDED_MAX = 2_000


def read_all(
    table: "Table", may_take: Callable[[float], bool], *, shown: bool
) -> tuple[Segment, ...] | None:
    """Read all memories of a table.

    Args:
        table: a version of the table.
        may_take: called, after each segment, with the bytes that all memories will
            take if the others are as large as those that were read.
        shown: whether to read the columns of hits, too.

    Returns:
        None if `may_take` has returned False.
    """
    rows, last = table.count_rows(), -1
    parts = min(SEGMENTS, -(-rows // SEGMENT_ROWS)) or 1
    count = -(-rows // parts)
    found: list[Segment] = []
    while (read := sum(map(len, found))) < rows:
        found.append(_segment(table, last + 1, count, shown=shown))
        last = int(found[-1].features.row_ids[-1])
        read += len(found[-1])
        if not may_take(sum(part.nbytes for part in found) * rows / read):
            return None
    return tuple(found)


def with_added(
    table: "Table", segments: tuple[Segment, ...]
) -> tuple[Segment, ...] | None:
    """Return the memories of a later version, if it only adds or replaces a few.

    Rows never change in place, and new rows have larger ids than all earlier ones. The
    last known row is read again: if it differs, the table was created again.

    Args:
        table: the later version.
        segments: the memories of the earlier one.

    Returns:
        None if all must be read again: the rows were moved, or there are many new ones.
    """
    known = int(segments[-1].features.row_ids[-1])
    shown = all(part.has_shown for part in segments)
    rows = _rows(table, known, ADDED_MAX + 2, shown=shown)
    if len(rows) > ADDED_MAX + 1 or not _begins_with(rows, segments[-1]):
        return None
    rows = rows.filter(pc.greater(rows[ROW_ID], pa.scalar(known, pa.uint64())))
    if len(rows):
        added = Segment.of(rows)
        ids = added.features.header["id"]
        segments = (*(part.without(ids) for part in segments), added)
    if sum(np.count_nonzero(part.alive) for part in segments) != table.count_rows():
        return None
    return _fewer(segments)


def _segment(table: "Table", first: int, count: int, *, shown: bool) -> Segment:
    rows = _rows(table, first, count, shown=shown)
    if not len(rows):
        msg = "The table has fewer rows than it counts."
        raise ValueError(msg)
    return Segment.of(rows)


def _rows(table: "Table", first: int, count: int, *, shown: bool) -> pa.Table:
    """Read the rows from a row id on, in the order of their ids."""
    query: Any = table.search().select(columns(shown=shown)).with_row_id(True)
    return query.where(f"{ROW_ID} >= {first}").limit(count).to_arrow()


def _begins_with(rows: pa.Table, last: Segment) -> bool:
    """Return whether the last known row is unchanged or replaced by a later one."""
    ids = rows[ROW_ID].to_numpy()
    at = np.flatnonzero(ids == last.features.row_ids[-1])
    read = Features.of(rows["features"], rows[ROW_ID])
    known = last.features.take(np.array([len(last) - 1]))
    if len(at):
        return read.take(at).header.tobytes() == known.header.tobytes()
    return bool(np.isin(known.header["id"], read.header["id"]).all())


def _fewer(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Merge the last segments, so that each has more than twice the rows of the next.

    The number of segments grows with the logarithm of the rows that were added.
    """
    found = list(segments)
    while len(found) > 1:
        before, last = len(found[-2]), len(found[-1])
        if before > 2 * last or before + last > MERGED_ROWS:
            break
        found[-2:] = [Segment.merged(found[-2:])]
    return tuple(found)
