"""The LanceDB searches of a recall, on a table that stays open."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from semloop.lake import generations
from semloop.lake.recall.features import EventPosition, Features, Ints, position_of
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table

    from semloop.embedders.contract import Vectors

ROW_ID = "_rowid"
# Rows of the table up to which a search reads all vectors, so that it is exact.
EXACT_ROWS = 300_000
# More partitions than an index has: all are searched.
ALL_PARTITIONS = 1_000_000
# Maximum rows of one lookup by position.
AT_MAX = 2_000
# Cached numbers of rows behind a filter, whose text may have 100 kB.
COUNTS_MAX = 16


class Found(NamedTuple):
    """Rows of a search: their features, and further columns in the same order."""

    features: Features
    columns: pa.Table


class RowsMoved(Exception):
    """A compaction has moved rows between two reads."""


class MemoryTable:
    """Searches in one generation of memories, safe for concurrent callers."""

    def __init__(self, table: "Table", generation: int) -> None:
        self.generation = generation
        self._table = table
        self._counts: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._lock = Lock()

    @property
    def has_features(self) -> bool:
        """False for a table that an earlier version of SemLoop has created."""
        return {"features", "position"} <= set(self._table.schema.names)

    @property
    def has_words(self) -> bool:
        """False for a table that was filled before LanceDB indexed our own terms."""
        return "words" in self._table.schema.names

    @property
    def model(self) -> str | None:
        """The model of the vectors; None if the table's schema does not have it."""
        model = (self._table.schema.metadata or {}).get(b"semloop.model")
        return model.decode() if model else None

    def count(self, where: str) -> int:
        """Return the number of rows behind a filter."""
        version = self._table.version
        key = (version, where)
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        count = self._table.count_rows(where or None)
        with self._lock:
            self._counts[key] = count
            if len(self._counts) > COUNTS_MAX:
                self._counts.popitem(last=False)
        return count

    def by_meaning(self, vector: "Vectors", where: str, count: int) -> Found:
        """Return the nearest rows behind a filter, with the column `vector`."""
        query: Any = self._table.search(vector, vector_column_name="vector")
        query = query.distance_type("dot")
        if self.count("") <= EXACT_ROWS:
            query = query.nprobes(ALL_PARTITIONS)
        else:
            # No maximum: behind a narrow filter, the nearest parts may have no rows.
            query = query.maximum_nprobes(0)
        return self._found(query, where, count, ["vector", "_distance"])

    def by_words(self, terms: Sequence[str], where: str, count: int) -> Found:
        """Return the rows behind a filter that contain one of the terms.

        Only if there are more than `count` of them, Lance's score decides which.
        """
        from lancedb.query import MatchQuery

        if not terms:
            return self.newest(where, 0)
        match = MatchQuery(" ".join(terms), "words")  # type: ignore[call-arg]
        query = self._table.search(match, query_type="fts")
        return self._found(query, where, count, ["_score"])

    def newest(self, where: str, count: int) -> Found:
        """Return the newest rows behind a filter."""
        from lancedb.query import ColumnOrdering

        # Equal times in the order of ids, which does not depend on how rows are stored.
        order = [
            ColumnOrdering(column_name="ts", ascending=False),
            ColumnOrdering(column_name="id", ascending=True),
        ]
        query = self._table.search().order_by(order)
        return self._found(query, where, count, [])

    def at(
        self, positions: set[EventPosition], where: str, columns: dict[str, str]
    ) -> Found:
        """Return the memories of events at these positions.

        Args:
            positions: where to look.
            where: condition on the rows.
            columns: further columns, each with an expression in Lance's SQL.
        """
        numbers = ", ".join(str(position_of(*at)) for at in sorted(positions))
        condition = f"position IN ({numbers})" if positions else "false"
        if where:
            condition += f" AND ({where})"
        query: Any = self._table.search().where(condition)
        read = {"features": "features"} | columns
        rows = query.select(read).with_row_id(True).limit(AT_MAX).to_arrow()
        return Found(Features.of(rows["features"], rows[ROW_ID]), rows)

    def rows(self, row_ids: Ints, columns: Sequence[str]) -> pa.Table:
        """Read the rows of these ids, in their order.

        Raises:
            RowsMoved: a compaction has moved rows meanwhile.
            RuntimeError, ValueError, OSError: it has, or the rows cannot be read.
        """
        if not len(row_ids):
            return self._table.schema.empty_table().select(list(columns))
        ids = row_ids.tolist()
        query = self._table.take_row_ids(ids).select(list(columns)).with_row_id()
        rows = query.to_arrow()
        index = {row_id: n for n, row_id in enumerate(rows[ROW_ID].to_pylist())}
        if missing := len(set(ids) - index.keys()):
            msg = f"{missing} rows have moved"
            raise RowsMoved(msg)
        order = pa.array([index[row_id] for row_id in ids], pa.int64())
        taken: pa.Table = rows.select(list(columns)).take(order)
        return taken

    @staticmethod
    def _found(query: Any, where: str, count: int, more: list[str]) -> Found:
        if where:
            query = query.where(where, prefilter=True)
        rows = query.select(["features", *more]).with_row_id(True).limit(count)
        rows = rows.to_arrow()
        return Found(Features.of(rows["features"], rows[ROW_ID]), rows)


class MemoryTables:
    """Opens the table of the current generation.

    Args:
        storage: the lake.
        stale_s: maximum age, in seconds, of the version that is searched; each check
            for a new version is a request to the storage.
    """

    def __init__(self, storage: Storage, stale_s: float) -> None:
        self._storage, self._stale_s = storage, stale_s
        self._connection: DBConnection | None = None
        self._table: MemoryTable | None = None
        self._lock = Lock()

    def open(self, generation: int) -> MemoryTable | None:
        """Return the table of a generation; None if it does not exist yet.

        Raises:
            OSError, RuntimeError: it cannot be read.
        """
        with self._lock:
            if self._table is None or self._table.generation != generation:
                if self._connection is None:
                    self._connection = generations.connect(self._storage, self._stale_s)
                table = generations.open_table(self._connection, generation)
                # A table without rows is false.
                self._table = None if table is None else MemoryTable(table, generation)
            return self._table


def cosines(vectors: pa.ChunkedArray, vector: "Vectors") -> NDArray[np.float64]:
    """Return the dot product of each vector of a column with one vector.

    Each row is summed by itself, so that its value does not depend on other rows.
    """
    flat = vectors.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = flat.reshape(len(vectors), len(vector)).astype(np.float64)
    products: NDArray[np.float64] = (matrix * vector.astype(np.float64)).sum(axis=1)
    return products
