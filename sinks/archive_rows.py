"""Selects the new rows of a commit of `archive`, and handles rejected rows."""

from collections.abc import Callable, Mapping, Sequence, Set

import pyarrow as pa

from schemas.arrow import DEAD_LETTERS
from semloop.delta.streams import Partition
from semloop.errors import StorageUnavailable
from semloop.retry import retry
from sinks.delta.fenced_table import FencedTable, RowsRejected
from sinks.delta.rejected_rows import (
    split_by_offset,
    without_content,
)

# (partition, kind) -> an int64 stored by the same commit.
Numbers = Mapping[tuple[Partition, str], int]


def without_dead_lettered(
    rows: pa.Table, dead_lettered: Set[tuple[int, int]]
) -> pa.Table:
    """Return the rows whose (partition, offset) has no dead letter yet."""
    if not dead_lettered or not rows.num_rows:
        return rows
    partitions = rows["kafka_partition"].to_pylist()
    offsets = rows["kafka_offset"].to_pylist()
    origins = zip(partitions, offsets, strict=True)
    is_new = [origin not in dead_lettered for origin in origins]
    return rows.filter(pa.array(is_new, pa.bool_()))


def without_redelivered(
    rows: pa.Table,
    ids: Sequence[str],
    looked_up: Set[str],
    existing: Callable[[Set[str]], Set[str]],
    retry_s: float,
) -> pa.Table:
    """Return the rows without those that are looked up and stored, or repeated.

    Args:
        rows: rows of one table.
        ids: their ids, or the keys of events.
        looked_up: the ids that may have been sent before.
        existing: returns those of the given ids that the table already contains.
        retry_s: seconds to retry while storage is unavailable.
    """
    redelivered = looked_up & set(ids)
    if not redelivered:
        return rows
    stored = retry(
        lambda: existing(redelivered), on=StorageUnavailable, seconds=retry_s
    )
    return first_of_redelivered(rows, ids, redelivered, stored)


def first_of_redelivered(
    rows: pa.Table, ids: Sequence[str], redelivered: Set[str], stored: Set[str]
) -> pa.Table:
    """Return the rows without redelivered ones that are stored or repeated.

    Args:
        rows: rows of one table.
        ids: their ids, or the keys of events.
        redelivered: ids of records that were sent again on purpose.
        stored: the ids that the table already contains.
    """
    seen = set(stored)
    is_new = []
    for row_id in ids:
        is_new.append(row_id not in seen)
        if row_id in redelivered:
            seen.add(row_id)
    return rows.filter(pa.array(is_new, pa.bool_()))


def commit_dead_letters(
    table: FencedTable, rows: pa.Table, offsets: Mapping[Partition, int]
) -> None:
    """Commit dead letters; store only the origin of one that the table rejects."""
    try:
        table.commit(rows, offsets)
    except RowsRejected:
        if rows.num_rows > 1:
            first, rest, first_offsets = split_by_offset(rows)
            commit_dead_letters(table, first, first_offsets)
            commit_dead_letters(table, rest, offsets)
            return
        table.commit(without_content(rows), offsets)


def commit_events(
    tables: tuple[FencedTable, FencedTable],
    rows: pa.Table,
    offsets: Mapping[Partition, int],
    numbers: Numbers,
    letter_of: Callable[[pa.Table], pa.Table],
) -> pa.Table:
    """Commit events; events that the table rejects become dead letters.

    Args:
        tables: table of the events, table of the dead letters.
        rows: in the schema of the events table.
        offsets: partition -> last offset read past after the commit.
        numbers: further int64s of the commit.
        letter_of: returns the dead letter of one rejected row.

    Returns:
        the dead letters of rejected events.
    """
    events, letters = tables
    try:
        events.commit(rows, offsets, numbers)
        return DEAD_LETTERS.empty_table()
    except RowsRejected:
        if rows.num_rows > 1:
            first, rest, first_offsets = split_by_offset(rows)
            rejected = commit_events(tables, first, first_offsets, {}, letter_of)
            others = commit_events(tables, rest, offsets, numbers, letter_of)
            return pa.concat_tables([rejected, others])
        letter = letter_of(rows)
        origin = letter.select(["topic_id", "kafka_partition", "kafka_offset"])
        topic_id, number, offset = origin.to_pylist()[0].values()
        letters.commit(letter, {Partition(topic_id, number): offset})
        events.commit(None, offsets, numbers)
        return letter
