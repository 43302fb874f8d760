"""Which rows of a commit of `archive` are new, and what becomes of refused ones."""

from collections.abc import Mapping, Set
from datetime import datetime

import pyarrow as pa

from semloop.delta.streams import Partition
from sinks.delta.fenced_table import FencedTable, RowsRefused
from sinks.delta.unstorable import bare, halves, unstorable

# (number of a partition, kind) -> an int64 that rides in a commit.
Numbers = Mapping[tuple[Partition, str], int]


def without_dead_lettered(
    rows: pa.Table, dead_lettered: Set[tuple[int, int]]
) -> pa.Table:
    """The rows whose (partition, offset) has no dead letter yet."""
    if not dead_lettered or not rows.num_rows:
        return rows
    partitions = rows["kafka_partition"].to_pylist()
    offsets = rows["kafka_offset"].to_pylist()
    keep = [key not in dead_lettered for key in zip(partitions, offsets, strict=True)]
    return rows.filter(pa.array(keep, pa.bool_()))


def first_of_redelivered(
    rows: pa.Table, id_column: str, redelivered: Set[str], stored: Set[str]
) -> pa.Table:
    """The rows without redelivered ones that are stored, and each other one once.

    Args:
        rows: rows of one table.
        id_column: their ids.
        redelivered: ids of records that were sent again on purpose.
        stored: those of them that the table has.
    """
    seen = set(stored)
    keep = []
    for row_id in rows[id_column].to_pylist():
        keep.append(row_id not in seen)
        if row_id in redelivered:
            seen.add(row_id)
    return rows.filter(pa.array(keep, pa.bool_()))


def commit_letters(
    table: FencedTable, rows: pa.Table, offsets: Mapping[Partition, int]
) -> None:
    """Commit dead letters; of one that is refused, only its origin is kept."""
    try:
        table.commit(rows, offsets)
    except RowsRefused:
        if rows.num_rows > 1:
            first, rest, cut = halves(rows)
            commit_letters(table, first, cut)
            commit_letters(table, rest, offsets)
            return
        table.commit(bare(rows), offsets)


def commit_events(
    tables: tuple[FencedTable, FencedTable],
    rows: pa.Table,
    offsets: Mapping[Partition, int],
    numbers: Numbers,
    now: datetime,
) -> int:
    """Commit events; those that are refused become dead letters.

    Args:
        tables: of the events, and of the dead letters.
        rows: in the schema of the table.
        offsets: what the commit brings the table to.
        numbers: further int64s of the commit.
        now: when dead letters are ingested.

    Returns:
        how many were refused.
    """
    events, letters = tables
    try:
        events.commit(rows, offsets, numbers)
        return 0
    except RowsRefused:
        if rows.num_rows > 1:
            first, rest, cut = halves(rows)
            refused = commit_events(tables, first, cut, {}, now)
            return refused + commit_events(tables, rest, offsets, numbers, now)
        letter = unstorable(rows, now)
        origin = letter.select(["topic_id", "kafka_partition", "kafka_offset"])
        topic_id, number, offset = origin.to_pylist()[0].values()
        letters.commit(letter, {Partition(topic_id, number): offset})
        events.commit(None, offsets, numbers)
        return 1
