"""The dates of the tables that have expired rows, with their files."""

from collections.abc import Callable, Iterator
from datetime import date

from schemas.batches import ExpiredDate
from semloop.storage.location import Storage
from sources.lake.table_dates import by_date, newest_versions


def expired_dates(
    storage: Storage, names: list[str], condition_of: Callable[[str, date], str | None]
) -> Iterator[ExpiredDate]:
    """Yield the dates that may have expired rows, of the newest version of a table.

    Args:
        storage: the lake.
        names: the tables.
        condition_of: (table, date) -> SQL condition of the rows that have expired; None
            if none has.

    Raises:
        LakeError: a table cannot be read, or a newer program has changed it.
        StorageUnavailable: the storage is not available.
    """
    for name, snapshot in newest_versions(storage, names):
        dates = sorted(by_date(snapshot).items())
        for day, files in dates:
            if (condition := condition_of(name, day)) is not None:
                later = tuple(f for at, found in dates if at > day for f in found)
                yield ExpiredDate(
                    name, snapshot.version, day, tuple(files), later, condition
                )
