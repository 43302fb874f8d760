"""Checks whether a commit to the table of memories is what LanceDB says it is.

LanceDB writes the next version only if there is no file of it, and compares the commit
with all versions since the one that it read. Both fail without an error if the process
was suspended meanwhile, and maintenance has dropped these versions: the commit then
takes the number of a dropped version, so that no later one has its rows, or it is
compared with nothing, so that another writer's rows of the same ids are stored twice,
or a compaction brings back rows that were replaced.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from semloop.lake import generations
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from lancedb.table import Table

MANIFEST = ".manifest"
# Names of versions count down, so that a listing begins with the newest one.
NAME_OF_VERSION_0 = 2**64 - 1
# Ids of one condition.
IDS_MAX = 10_000


class CommitCheck:
    """Compares commits with the versions that the storage has.

    A commit that directly follows the newest known version, and is the newest one,
    costs no more than to look for a newer one.
    """

    def __init__(self, storage: Storage, generation: int, table: "Table") -> None:
        """Take the table's version as known."""
        self._storage, self._generation, self._table = storage, generation, table
        self._known = table.version

    def is_stored_once(self, rows: pa.Table, version: int) -> bool:
        """Return whether the newest version has the rows of a commit.

        Rows of other commits with the same ids are removed.

        Args:
            rows: what was merged, an id once.
            version: the number that LanceDB gave the commit.

        Raises:
            OSError, RuntimeError, ValueError: the table cannot be read or written.
            LakeError, StorageUnavailable: its versions cannot be listed.
        """
        self._table.checkout_latest()  # type: ignore[no-untyped-call]
        newest = self._table.version
        between = range(self._known + 1, version)
        is_regular = newest == version and self._has_all(between)
        is_stored = is_regular or self._has_once(rows)
        self._known = newest
        return is_stored

    def _has_all(self, between: range) -> bool:
        return has_all_versions(self._storage, self._generation, between)

    def _has_once(self, rows: pa.Table) -> bool:
        """Return whether all rows are stored once; delete those that are repeated."""
        ids = rows["id"].to_pylist()
        kept = _delete_repeated(self._table, ids)
        writers = zip(ids, rows["writer"].to_pylist(), strict=True)
        return kept is not None and all(
            key in kept and kept[key] >= own for key, own in writers
        )


def delete_repeated(table: "Table") -> None:
    """Keep the newest row of each id; reads all ids.

    Raises:
        OSError, RuntimeError, ValueError: the table cannot be read or written.
    """
    while True:
        counts = pc.value_counts(table.search().select(["id"]).to_arrow()["id"])
        many = pc.greater(counts.field("counts"), 1)
        repeated = counts.field("values").filter(many).to_pylist()
        if not repeated:
            return
        _delete_repeated(table, repeated[:IDS_MAX])


def _delete_repeated(table: "Table", ids: Collection[bytes]) -> dict[bytes, int] | None:
    """Return the writers of stored rows; None if some of these ids had several rows.

    Row ids are not used again: if compaction has moved the rows meanwhile, none is
    deleted, and the caller reads them once more.
    """
    keys = ", ".join(f"X'{key.hex()}'" for key in ids)
    query: Any = table.search().where(f"id IN ({keys})")
    found = query.select(["id", "writer"]).with_row_id(True).to_arrow()
    found = found.sort_by([("writer", "ascending"), ("_rowid", "ascending")])
    kept = {row["id"]: row for row in found.to_pylist()}
    newest = {row["_rowid"] for row in kept.values()}
    if repeated := {*found["_rowid"].to_pylist()} - newest:
        table.delete(f"_rowid IN ({', '.join(map(str, sorted(repeated)))})")
        return None
    return {key: row["writer"] for key, row in kept.items()}


def has_all_versions(storage: Storage, generation: int, numbers: range) -> bool:
    """Return whether the table still has all of these versions.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    return not numbers or versions(storage, generation).keys() >= {*numbers}


def versions(storage: Storage, generation: int) -> dict[int, float]:
    """Return the versions of a table, and when each was written, Unix time.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    folder = f"{generations.FOLDER}/{generations.table_name(generation)}.lance"
    found = {}
    for file in stored_files(storage, f"{folder}/_versions"):
        name = file.name.rpartition("/")[2].removesuffix(MANIFEST)
        if name.isdecimal():
            found[NAME_OF_VERSION_0 - int(name)] = file.changed_s
    return found
