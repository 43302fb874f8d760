"""Upkeep of the table of memories, beside whoever writes and reads it.

Each commit leaves a small file, and merges slow down with their number; what was
written since the last time is searched without an index. So upkeep puts files together,
indexes what is new and drops old versions. It may be ended at any moment and run again:
each step is a commit of its own that takes nothing away, and one that is not due yet
writes nothing.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from schemas.steps import ProgressCallback
from semloop.errors import StorageUnavailable
from semloop.lake import generations
from semloop.retry import retry
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.vectors.table import NAME, SEARCH_TEXT

if TYPE_CHECKING:
    from lancedb._lancedb import IndexConfig
    from lancedb.table import Table

Scalar = Literal["BITMAP", "BTREE"]

VECTOR = "vector"
# How memories are filtered, and how the neighbours of a hit are found.
SCALARS: Mapping[str, Scalar] = {
    "namespace": "BITMAP",
    "agent": "BITMAP",
    "kind": "BITMAP",
    "session_id": "BTREE",
    "user_id": "BTREE",
    "episode_id": "BTREE",
    "ts": "BTREE",
}
# By bench/vectors.py: below, comparing with every vector is fast enough. Beyond, an
# index of shortened vectors is hardly faster and can miss half of the nearest.
ROWS_WITHOUT_INDEX = 20_000
# Of the rows. An index to which so much is new has the wrong centres: it is made anew.
NEW_SHARE_MAX = 0.5
# Putting files together writes nearly the whole table anew, so a few new rows must not
# cause it: until then they are searched without an index, which is quick for so few.
FRAGMENTS_MAX = 100
UNINDEXED_MAX = 2_000
UNINDEXED_SHARE_MAX = 0.05
# Readers and writers hold a version for seconds, a long query for minutes.
KEPT = timedelta(minutes=10)
# Each step is tried again while a writer commits under it.
RETRY_S = 60.0


@dataclass(frozen=True)
class Report:
    """What upkeep found and did.

    `rows`, `fragments`: of the table afterwards; a fragment is one or several files.
    `unindexed`: rows that the full-text index does not know, written meanwhile.
    `made`: the columns whose index was made or made anew.
    `indexed`: whether the vectors have an index; without one all of them are compared.
    """

    rows: int = 0
    fragments: int = 0
    unindexed: int = 0
    made: tuple[str, ...] = ()
    indexed: bool = False


def maintain(
    storage: Storage,
    generation: int,
    progress: ProgressCallback = lambda step, done, total: None,
    retry_s: float = RETRY_S,
) -> Report | None:
    """Put small files together, index what is new, drop what is old.

    Args:
        storage: the lake.
        generation: whose table it is.
        progress: told each step's name, how many are done and how many there are.
        retry_s: how long each step is tried again.

    Returns:
        None if there is no such table.

    Raises:
        LakeError: the table is gone, or may not be written.
        StorageUnavailable: not within `retry_s`, or another upkeep was quicker.
        MissingExtra: LanceDB is not installed.
    """
    with storage_errors(storage, f"open table {NAME}", lance=True):
        table = generations.open_table(generations.connect(storage), generation)
    if table is None:
        return None
    made: list[str] = []
    steps: list[tuple[str, Callable[[], None]]] = [
        ("vectors", lambda: made.extend(_index_vectors(table))),
        ("files", lambda: _optimize(storage, table)),
        *(
            (column, lambda column=column: made.extend(_index(table, column)))
            for column in SCALARS
        ),
    ]
    for done, (name, step) in enumerate(steps):
        progress(name, done, len(steps))
        retry(
            functools.partial(_attempt, storage, table, name, step),
            on=StorageUnavailable,
            seconds=retry_s,
        )
    progress("done", len(steps), len(steps))
    return _report(storage, table, tuple(made))


def drop_older(storage: Storage, generation: int) -> None:
    """Remove the tables of earlier generations: `reindex` has replaced them.

    Raises:
        StorageUnavailable: they cannot be removed now.
    """
    with storage_errors(storage, f"remove an old table of {NAME}", lance=True):
        connection = generations.connect(storage)
        for older in range(generations.FIRST_GENERATION, generation):
            if generations.open_table(connection, older) is not None:
                connection.drop_table(generations.table_name(older))


def _attempt(
    storage: Storage, table: "Table", name: str, step: Callable[[], None]
) -> None:
    with storage_errors(storage, f"maintain table {NAME} ({name})", lance=True):
        # After a conflict the step must begin from what the others wrote.
        table.checkout_latest()  # type: ignore[no-untyped-call]
        step()


def _optimize(storage: Storage, table: "Table") -> None:
    """Put files together, tell the indexes of new rows, drop old versions."""
    found = _report(storage, table)
    # Of one file with nothing new nothing is written: only old versions are dropped.
    settled = found.fragments <= 1 and not found.unindexed
    much = max(UNINDEXED_MAX, UNINDEXED_SHARE_MAX * found.rows)
    if settled or found.fragments >= FRAGMENTS_MAX or found.unindexed >= much:
        table.optimize(cleanup_older_than=KEPT)


def _index_vectors(table: "Table") -> list[str]:
    rows = table.count_rows()
    if rows < ROWS_WITHOUT_INDEX:
        return []
    found = _found(table, VECTOR)
    if found is not None and (found.num_unindexed_rows or 0) <= NEW_SHARE_MAX * rows:
        # With the other files, what is new is added to it.
        return []
    # Only `memories.connect` knows how to load LanceDB.
    from lancedb.index import IvfFlat  # noqa: PLC0415

    # All vectors have length 1: their product is the cosine.
    table.create_index(VECTOR, config=IvfFlat(distance_type="dot"), replace=True)
    return [VECTOR]


def _index(table: "Table", column: str) -> list[str]:
    if _found(table, column) is not None:
        return []
    from lancedb.index import Bitmap, BTree  # noqa: PLC0415

    config = Bitmap() if SCALARS[column] == "BITMAP" else BTree()
    table.create_index(column, config=config, replace=False)
    return [column]


def _found(table: "Table", column: str) -> "IndexConfig | None":
    configs = (found for found in table.list_indices() if found.columns == [column])
    return next(configs, None)


def _report(storage: Storage, table: "Table", made: tuple[str, ...] = ()) -> Report:
    with storage_errors(storage, f"read table {NAME}", lance=True):
        table.checkout_latest()  # type: ignore[no-untyped-call]
        texts, vectors = _found(table, SEARCH_TEXT), _found(table, VECTOR)
        rows = table.count_rows()
        # Its declared type is not what it gives.
        statistics: Any = table.stats()
        return Report(
            rows=rows,
            fragments=statistics["fragment_stats"]["num_fragments"],
            unindexed=rows if texts is None else texts.num_unindexed_rows or 0,
            made=made,
            indexed=vectors is not None,
        )
