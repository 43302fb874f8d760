"""Maintenance of the memory table, while flows write it and readers search it.

Each commit adds a small file, and merges get slower with the number of files; new rows
are searched without an index. Maintenance compacts files, indexes new rows and drops
old versions. It may be stopped at any time and run again: each step is a commit of its
own that removes no rows, and a step that is not due yet writes nothing.

Two runs at the same time, one of them suspended for any time, lose and repeat no rows
either (`commit_check.py`). Files that no version has ever named may belong to a commit
in progress; LanceDB removes them after 7 days.
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
from semloop.storage import store_time
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.vectors.commit_check import (
    delete_repeated,
    has_all_versions,
    versions,
)
from sinks.vectors.newest_version import on_newest_version
from sinks.vectors.table import NAME, WORDS, words_index

if TYPE_CHECKING:
    from lancedb._lancedb import IndexConfig
    from lancedb.table import Table

Scalar = Literal["BITMAP", "BTREE"]

VECTOR = "vector"
# Columns that filter memories, or that find the neighbours of a hit.
SCALARS: Mapping[str, Scalar] = {
    "namespace": "BITMAP",
    "agent": "BITMAP",
    "kind": "BITMAP",
    "session_id": "BTREE",
    "user_id": "BTREE",
    "episode_id": "BTREE",
    "position": "BTREE",
    "ts": "BTREE",
}
# Measured by bench/vectors.py: exact search is fast enough for smaller tables. For
# larger ones, an index of compressed vectors is hardly faster than the one used here
# and can miss half of the nearest vectors.
ROWS_WITHOUT_INDEX = 20_000
# Share of all rows. An index to which more rows were added has outdated centroids, and
# is rebuilt.
NEW_SHARE_MAX = 0.5
# Compaction rewrites nearly the whole table, so a few new rows must not trigger it;
# until then they are searched without an index, which is fast for this many.
FRAGMENTS_MAX = 100
UNINDEXED_MAX = 2_000
UNINDEXED_SHARE_MAX = 0.05
# Readers and writers use a version for seconds, a long query for minutes. A process
# that was suspended for longer begins its step, or its recall, again.
VERSION_RETENTION = timedelta(minutes=5)
# Old versions are dropped with the next compaction, at the latest at this age: what the
# last one replaced must not stay until as much is new again.
VERSION_AGE_MAX = timedelta(minutes=20)
# Small amounts of new rows become segments of the vector index, each searched on its
# own, and compaction merges no files of different segments.
SEGMENTS_MAX = 50
# Each step is retried for this time when a writer's commit conflicts with it.
RETRY_S = 60.0


@dataclass(frozen=True)
class Report:
    """State of the table after maintenance, and the indexes that it built.

    Attributes:
        rows: rows of the table.
        fragments: fragments of the table; a fragment is one or several files.
        unindexed: rows written meanwhile that are not in the full-text index yet.
        made: columns whose index was built or rebuilt.
        indexed: True if the vectors have an index; otherwise search is exact.
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
    """Compact small files, index new rows, drop old versions.

    Args:
        storage: the lake.
        generation: generation of the table.
        progress: called with the name of each step, the number of finished steps and
            their total.
        retry_s: how long each step is retried, seconds.

    Returns:
        None if the table does not exist.

    Raises:
        LakeError: the table was removed, or is not writable.
        StorageUnavailable: a step did not succeed within `retry_s`, or another
            maintenance run committed first.
        MissingExtra: LanceDB is not installed.
    """
    with storage_errors(storage, f"open table {NAME}", lance=True):
        table = generations.open_table(generations.connect(storage), generation)
    if table is None:
        return None
    made: list[str] = []
    steps: list[tuple[str, Callable[[], None]]] = [
        ("vectors", lambda: made.extend(_index_vectors(table))),
        ("files", lambda: _optimize(storage, table, generation)),
        *(
            (column, lambda column=column: made.extend(_index(table, column)))
            for column in SCALARS
        ),
    ]
    for done, (name, step) in enumerate(steps):
        progress(name, done, len(steps))
        retry(
            functools.partial(run_step, storage, generation, table, name, step),
            on=StorageUnavailable,
            seconds=retry_s,
        )
    progress("done", len(steps), len(steps))
    return _report(storage, table, tuple(made))


def drop_older_generations(storage: Storage, generation: int) -> None:
    """Drop the tables of earlier generations: `reindex` has replaced them.

    Raises:
        StorageUnavailable: storage does not remove them now.
    """
    with storage_errors(storage, f"remove an old table of {NAME}", lance=True):
        connection = generations.connect(storage)
        for older in range(generations.FIRST_GENERATION, generation):
            if generations.open_table(connection, older) is not None:
                connection.drop_table(generations.table_name(older))


def run_step(
    storage: Storage,
    generation: int,
    table: "Table",
    name: str,
    step: Callable[[], object],
) -> None:
    """Run a step that adds no rows, on the newest version.

    If versions were dropped meanwhile, rows that it has brought back are deleted.

    Args:
        storage: the lake.
        generation: generation of the table.
        table: the table; shows the newest version afterwards.
        name: of the step, for error texts.
        step: may be repeated; commits once.

    Raises:
        LakeError: the table is not writable. StorageUnavailable: it cannot be written
            now, or another commit conflicts.
    """
    with storage_errors(storage, f"maintain table {NAME} ({name})", lance=True):
        # After a conflict the step must start from the newest version.
        table.checkout_latest()  # type: ignore[no-untyped-call]
        known = table.version
        on_newest_version(table, step)
        table.checkout_latest()  # type: ignore[no-untyped-call]
        between = range(known + 1, table.version)
        if not has_all_versions(storage, generation, between):
            # This process was suspended: LanceDB may have compared nothing.
            delete_repeated(table)


def _optimize(storage: Storage, table: "Table", generation: int) -> None:
    """Compact files, add new rows to the indexes, drop old versions."""
    found = _report(storage, table)
    unindexed_max = max(UNINDEXED_MAX, UNINDEXED_SHARE_MAX * found.rows)
    many = found.fragments >= FRAGMENTS_MAX or found.unindexed >= unindexed_max
    if many or _has_old_versions(storage, generation):
        table.optimize(cleanup_older_than=VERSION_RETENTION)


def _has_old_versions(storage: Storage, generation: int) -> bool:
    """Return whether a version, of several, is older than `VERSION_AGE_MAX`."""
    times = versions(storage, generation).values()
    if len(times) <= 1:
        return False
    # By one clock: another machine may have written the versions.
    age_s = store_time.now(storage).timestamp() - min(times)
    return age_s > VERSION_AGE_MAX.total_seconds()


def _index_vectors(table: "Table") -> list[str]:
    rows = table.count_rows()
    if rows < ROWS_WITHOUT_INDEX:
        return []
    found = _index_config(table, VECTOR)
    if (
        found is not None
        and (found.num_unindexed_rows or 0) <= NEW_SHARE_MAX * rows
        and (found.num_segments or 1) < SEGMENTS_MAX
    ):
        # `_optimize` adds the new rows to it.
        return []
    _build_vectors(table)
    return [VECTOR]


def _build_vectors(table: "Table") -> None:
    # Imported late: only `generations.connect` handles a missing LanceDB.
    from lancedb.index import IvfFlat  # noqa: PLC0415

    # All vectors have length 1: their dot product is the cosine.
    table.create_index(VECTOR, config=IvfFlat(distance_type="dot"), replace=True)


def _index(table: "Table", column: str) -> list[str]:
    if _index_config(table, column) is not None:
        return []
    _build_scalar(table, column, replace=False)
    return [column]


def _build_scalar(table: "Table", column: str, *, replace: bool) -> None:
    from lancedb.index import Bitmap, BTree  # noqa: PLC0415

    config = Bitmap() if SCALARS[column] == "BITMAP" else BTree()
    table.create_index(column, config=config, replace=replace)


def rebuild_steps(table: "Table") -> list[tuple[str, Callable[[], None]]]:
    """Return a step per index, which builds it of the present rows alone.

    An index that is only brought up to date keeps the values of removed rows.
    """
    steps: list[tuple[str, Callable[[], None]]] = [
        (
            WORDS,
            lambda: table.create_index(WORDS, config=words_index(), replace=True),
        )
    ]
    if config := _index_config(table, VECTOR):
        empty = not table.count_rows()
        drop = functools.partial(table.drop_index, config.name)
        steps.append((VECTOR, drop if empty else lambda: _build_vectors(table)))
    steps += [
        (column, functools.partial(_build_scalar, table, column, replace=True))
        for column in SCALARS
        if _index_config(table, column)
    ]
    return steps


def _index_config(table: "Table", column: str) -> "IndexConfig | None":
    configs = (found for found in table.list_indices() if found.columns == [column])
    return next(configs, None)


def _report(storage: Storage, table: "Table", made: tuple[str, ...] = ()) -> Report:
    def report() -> Report:
        table.checkout_latest()  # type: ignore[no-untyped-call]
        texts = _index_config(table, WORDS)
        vectors = _index_config(table, VECTOR)
        rows = table.count_rows()
        # LanceDB declares another type than it returns.
        statistics: Any = table.stats()
        return Report(
            rows=rows,
            fragments=statistics["fragment_stats"]["num_fragments"],
            unindexed=rows if texts is None else texts.num_unindexed_rows or 0,
            made=made,
            indexed=vectors is not None,
        )

    with storage_errors(storage, f"read table {NAME}", lance=True):
        return on_newest_version(table, report)
