"""Copies memories that cannot be made again from one generation into the next."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from semloop.errors import LakeError, StorageUnavailable
from semloop.lake import generations
from semloop.retry import retry
from semloop.storage.errors import OTHER_COLUMNS, REINDEX, storage_errors
from semloop.storage.location import Storage
from sinks.vectors.newest_version import on_newest_version
from sinks.vectors.table import MODEL, NAME

if TYPE_CHECKING:
    from lancedb.table import Table

# What decides whether a memory is copied; vectors are read only if one is.
DECISIVE = (
    "kind", "episode_id", "topic_id", "kafka_partition", "namespace", "kafka_offset",
)  # fmt: skip
BATCH_ROWS = 1_000
IsCarried = Callable[[pa.Table], pa.Array]


class CarriedMemories:
    """The memories of a generation that the next one takes over.

    Args:
        storage: the lake.
        generation: the present one; it may be missing.
        is_carried: (rows with the columns `DECISIVE`) -> which of them are copied.
        retry_s: how long to retry while storage is unavailable, seconds.
    """

    def __init__(
        self, storage: Storage, generation: int, is_carried: IsCarried, retry_s: float
    ) -> None:
        self._storage = storage
        self._generation = generation
        self._is_carried = is_carried
        self._retry_s = retry_s

    def count(self) -> int | None:
        """Return how many there are; None if the generation is missing.

        Raises:
            LakeError: it cannot be read. StorageUnavailable: temporarily.
        """
        table = self._open()
        if table is None:
            return None

        def once() -> int:
            with storage_errors(self._storage, f"read table {NAME}", lance=True):
                return on_newest_version(table, lambda: self._count(table))

        return retry(once, on=StorageUnavailable, seconds=self._retry_s)

    def require_same(self, schema: pa.Schema) -> None:
        """Raise if there are any, and they cannot be rows of another generation.

        Args:
            schema: of its rows, without `writer`.

        Raises:
            LakeError: the generation has another model or other columns, or cannot be
                read. StorageUnavailable: temporarily.
        """
        table = self._open()
        if table is not None and self.count():
            self._require_same(table.schema, schema)

    def copy(self, schema: pa.Schema, merge: Callable[[pa.Table], None]) -> int:
        """Merge them into another generation, once each; return their number.

        Args:
            schema: of the rows to merge, without `writer`.
            merge: merges rows by id.

        Raises as `require_same`.
        """
        table = self._open()
        if table is None or not self.count():
            return 0
        self._require_same(table.schema, schema)

        def once() -> int:
            count = 0
            with storage_errors(self._storage, f"read table {NAME}", lance=True):
                for rows in self._found(table, schema.names):
                    merge(rows.cast(schema))
                    count += rows.num_rows
            return count

        return retry(
            lambda: on_newest_version(table, once),
            on=StorageUnavailable,
            seconds=self._retry_s,
        )

    def _open(self) -> "Table | None":
        return retry(
            lambda: generations.open_existing(self._storage, self._generation),
            on=StorageUnavailable,
            seconds=self._retry_s,
        )

    def _count(self, table: "Table") -> int:
        return sum(rows.num_rows for rows in self._found(table, DECISIVE))

    def _found(self, table: "Table", names: Sequence[str]) -> Iterator[pa.Table]:
        query = table.search().limit(None).select(list(names))
        for batch in query.to_batches(batch_size=BATCH_ROWS):
            rows = pa.Table.from_batches([batch])
            kept = rows.filter(self._is_carried(rows))
            if kept.num_rows:
                yield kept

    def _require_same(self, found: pa.Schema, wanted: pa.Schema) -> None:
        model = (found.metadata or {}).get(MODEL)
        if model != wanted.metadata[MODEL]:
            msg = "The memories that cannot be made again are of another model."
            todo = "Set SEMLOOP_EMBEDDER and its model as for the memories, rebuild, "
            raise LakeError(msg, todo + "then run `semloop maintain reindex`.")
        if set(found.names) - {"writer"} != set(wanted.names):
            raise LakeError(OTHER_COLUMNS, REINDEX)
