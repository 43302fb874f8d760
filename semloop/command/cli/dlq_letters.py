"""Reads the dead letters to replay, a bounded number of bytes at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from operators.replay import Letter
from semloop.command.cli.dlq_selection import Selection, where_errors
from semloop.lake.lake import Lake

# Bounds of a batch: dead letters, and bytes of their records, of which there are a few
# copies in memory. A batch has at least one.
LETTERS_MAX = 1_000
BYTES_MAX = 16 * 1024 * 1024
# The content is not sorted or kept: there may be far more of it than memory.
PLACES = """
SELECT id, topic_id, kafka_partition, kafka_offset, attempts,
    coalesce(octet_length(raw), 0) AS bytes
FROM dead_letters WHERE {where}
ORDER BY topic_id, kafka_partition, kafka_offset
"""
CONTENT = """
SELECT kafka_offset, key, headers, raw FROM tables.dead_letters
WHERE topic_id = $topic_id AND kafka_partition = $partition
    AND kafka_offset BETWEEN $first AND $last AND list_contains($offsets, kafka_offset)
"""


class Place(NamedTuple):
    """A dead letter without its content; `bytes`: size of its record, 0 without one."""

    id: str
    topic_id: str
    partition: int
    offset: int
    attempts: int
    bytes: int


def places(lake: Lake, found: Selection) -> pa.Table:
    """Return the selected dead letters as rows of `Place`, in order.

    Raises:
        ConfigError: DuckDB refuses the condition.
    """
    query = PLACES.format(where=found.where)
    with where_errors():
        return lake.sql(query, found.values).to_arrow_table()


def letters(
    lake: Lake, selected: pa.Table, letters_max: int = LETTERS_MAX
) -> Iterator[tuple[int, list[Letter]]]:
    """Yield batches: the number of selected ones, and those that have content."""
    for batch in _batches(selected, letters_max):
        yield len(batch), _with_content(lake, [p for p in batch if p.bytes])


def _batches(selected: pa.Table, letters_max: int) -> Iterator[list[Place]]:
    """Yield places of one partition at a time, within the bounds."""
    batch: list[Place] = []
    size = 0
    for chunk in selected.to_batches(max_chunksize=LETTERS_MAX):
        for row in zip(*(column.to_pylist() for column in chunk.columns), strict=True):
            place = Place(*row)
            is_full = len(batch) == letters_max or size + place.bytes > BYTES_MAX
            if batch and (is_full or place[1:3] != batch[0][1:3]):
                yield batch
                batch, size = [], 0
            batch.append(place)
            size += place.bytes
    if batch:
        yield batch


def _with_content(lake: Lake, batch: list[Place]) -> list[Letter]:
    if not batch:
        return []
    offsets = [place.offset for place in batch]
    values = {
        "topic_id": batch[0].topic_id,
        "partition": batch[0].partition,
        "first": offsets[0],
        "last": offsets[-1],
        "offsets": offsets,
    }
    rows = lake.sql(CONTENT, values).fetchall()
    content = {offset: (key, headers, raw) for offset, key, headers, raw in rows}
    # `retain` may have removed a row since its place was read.
    return [
        Letter(*place[:4], *content[place.offset], place.attempts)
        for place in batch
        if place.offset in content
    ]
