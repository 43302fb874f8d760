"""The files that earlier versions wrote, whose names do not tell the order of commits.

An upgrade gives them a place before all files with a number. Offsets prove that it is
the right one; clocks may be wrong.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from schemas.batches import DataFile
from schemas.compaction import TableDate
from semloop.delta.file_name import BEFORE_ALL, UNNUMBERED
from semloop.delta.query import FileQueries
from semloop.storage.location import Storage
from sources.lake.table_dates import table_dates

BOUNDS = """
SELECT topic_id, kafka_partition, min(kafka_offset) AS lowest,
    max(kafka_offset) AS highest
FROM rows WHERE kafka_offset IS NOT NULL GROUP BY ALL
"""


def dates_before_numbers(storage: Storage) -> Iterator[TableDate]:
    """Yield the dates with unnumbered files, all of which precede the numbered ones.

    A date on which an earlier version wrote again after this one is left out.

    Raises:
        LakeError: a table cannot be read. StorageUnavailable: temporarily.
    """
    for item in table_dates(storage, date.max):
        if item.date is None:  # Its commits have no order.
            continue
        old = [file for file in item.files if file.name.first == UNNUMBERED]
        new = [file for file in item.files if file.name.first > BEFORE_ALL]
        if len(old) > 1 and (not new or _precede(storage, item.table, old, new)):
            yield item


def _precede(
    storage: Storage, table: str, old: Sequence[DataFile], new: Sequence[DataFile]
) -> bool:
    """Return True if the rows of the old files are before the others in their log."""
    before, after = (_bounds(storage, table, files) for files in (old, new))
    return all(
        before[partition]["highest"] < after[partition]["lowest"]
        for partition in before.keys() & after.keys()
    )


def _bounds(
    storage: Storage, table: str, files: Iterable[DataFile]
) -> dict[tuple[str, int], dict[str, int]]:
    queries = FileQueries(storage)
    try:
        uris = [f"{storage.uri(table)}/{file.path}" for file in files]
        rows = queries.arrow(table, uris, BOUNDS).to_pylist()
        return {(row["topic_id"], row["kafka_partition"]): row for row in rows}
    finally:
        queries.close()
