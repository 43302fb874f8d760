"""The LanceDB searches of a recall, on a table that stays open."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from semloop.lake import generations
from semloop.lake.recall.conditions import first_parts
from semloop.lake.recall.cutting import best_of
from semloop.lake.recall.features import (
    EventPosition,
    Features,
    Ints,
    position_of,
)
from semloop.lake.recall.filters import Every, Filter
from semloop.lake.recall.keywords import rarity
from semloop.lake.recall.preselection import (
    TERMS_MAX,
    Matches,
    all_matches,
    heaviest,
)
from semloop.lake.recall.search_engine import (
    Matrix,
    Nearest,
    Neighbours,
    RowsMoved,
    Texts,
    matrix_of,
)
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table

    from semloop.embedders.contract import Vectors

ROW_ID = "_rowid"
HIT = "hit"
# Rows of the table up to which a search reads all vectors, so that it is exact.
EXACT_ROWS = 300_000
# More partitions than an index has: all are searched.
ALL_PARTITIONS = 1_000_000
# Equally near memories that are read to find the smallest ids.
EQUAL_MAX = 10_000
# Maximum rows of one lookup by position.
AT_MAX = 2_000
# Cached numbers of rows behind a filter, whose text may have 100 kB.
COUNTS_MAX = 16


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

    @property
    def version(self) -> int:
        """The version that is searched now."""
        return int(self._table.version)

    def count(self, where: Filter) -> int:
        """Return the number of memories behind a filter."""
        condition = where.sql()
        key = (self.version, condition)
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        count = self._table.count_rows(condition or None)
        with self._lock:
            self._counts[key] = count
            if len(self._counts) > COUNTS_MAX:
                self._counts.popitem(last=False)
        return count

    def by_meaning(self, vector: "Vectors", where: Filter, count: int) -> Nearest:
        """Return the nearest memories behind a filter, at most `count`.

        Of equally near ones those with the smallest ids, if at most `EQUAL_MAX` are as
        near as the last one.
        """
        read = count + 1
        while True:
            rows = self._nearest(vector, where, read)
            near = -rows["_distance"].to_numpy()
            if len(rows) < read or near.min() < np.sort(near)[-count]:
                break
            if read > EQUAL_MAX:
                break
            # Others at the cut may be as near.
            read *= 4
        features = _features(rows)
        ids = features.header["id"]
        best = best_of(len(rows), count, near.__getitem__, lambda at: ~ids[at])
        return Nearest(features.take(best), matrix_of(rows["vector"])[best])

    def _nearest(self, vector: "Vectors", where: Filter, count: int) -> pa.Table:
        query: Any = self._table.search(vector, vector_column_name="vector")
        query = query.distance_type("dot")
        if self.count(Every()) <= EXACT_ROWS:
            query = query.nprobes(ALL_PARTITIONS)
        else:
            # No maximum: behind a narrow filter, the nearest parts may have no rows.
            query = query.maximum_nprobes(0)
        return _read(query, where, count, ["features", "vector", "_distance"])

    def by_words(self, terms: Sequence[str], where: Filter, count: int) -> Matches:
        """Return the memories behind a filter that contain one of the terms.

        Only if there are more than `count` of them, `preselection` says which.
        """
        if not terms:
            return all_matches(self.newest(where, 0), terms)
        query = self._matching(terms)
        rows = _read(query, where, count + 1, ["features", "_score"])
        if len(rows) <= count:
            return all_matches(_features(rows), terms)
        return self._preselected(terms, where, count)

    def newest(self, where: Filter, count: int) -> Features:
        """Return the newest memories behind a filter, at most `count`."""
        from lancedb.query import ColumnOrdering

        # Equal times in the order of ids, which does not depend on how rows are stored.
        order = [
            ColumnOrdering(column_name="ts", ascending=False),
            ColumnOrdering(column_name="id", ascending=True),
        ]
        query = self._table.search().order_by(order)
        return _features(_read(query, where, count, ["features"]))

    def neighbours(
        self, positions: set[EventPosition], where: Filter, hits: Filter
    ) -> Neighbours:
        """Return the first parts of events at these positions."""
        columns = {"vector": "vector", HIT: hits.sql() or "true"}
        rows = self._at(positions, where, columns)
        is_hit = rows[HIT].to_numpy().astype(bool)
        return Neighbours(_features(rows), matrix_of(rows["vector"]), is_hit)

    def texts_at(self, positions: set[EventPosition], where: Filter) -> Texts:
        """Return the first parts of events at these positions, with their texts."""
        rows = self._at(positions, where, {"text": "text"})
        return Texts(_features(rows), rows["text"].to_pylist())

    def vectors(self, row_ids: Ints) -> Matrix:
        """Return the vectors of these rows, in their order."""
        return matrix_of(self.rows(row_ids, ["vector"])["vector"])

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

    def _preselected(self, terms: Sequence[str], where: Filter, count: int) -> Matches:
        memories = self.count(where)
        weighted, others = terms[:TERMS_MAX], terms[TERMS_MAX:]
        groups = [[term] for term in weighted] + ([others] if others else [])
        # The score of LanceDB counts words of the whole table.
        columns = ["id", "ts", "_score"]
        found = [
            _read(self._matching(group), where, memories, columns) for group in groups
        ]
        every = pa.concat_tables(found)
        row_ids, first = np.unique(every[ROW_ID].to_numpy(), return_index=True)
        weights = np.zeros(len(row_ids))
        frequencies = np.zeros(len(terms), np.int64)
        for n, rows in enumerate(found[: len(weighted)]):
            frequencies[n] = len(rows)
            at = np.searchsorted(row_ids, rows[ROW_ID].to_numpy())
            weights[at] += rarity(len(rows), memories)
        every = every.take(first)
        times = every["ts"].cast(pa.int64()).to_numpy()
        ids = _keys(every["id"])
        best = heaviest(weights, times.__getitem__, ids.__getitem__, count)
        chosen = pa.array(row_ids[best])
        read = self.rows(row_ids[best].astype(np.int64), ["features"])
        return Matches(Features.of(read["features"], chosen), frequencies)

    def _matching(self, terms: Sequence[str]) -> Any:
        from lancedb.query import MatchQuery

        match = MatchQuery(" ".join(terms), "words")  # type: ignore[call-arg]
        return self._table.search(match, query_type="fts")

    def _at(
        self, positions: set[EventPosition], where: Filter, columns: dict[str, str]
    ) -> pa.Table:
        """Read features and further columns, each an expression in Lance's SQL."""
        numbers = ", ".join(str(position_of(*at)) for at in sorted(positions))
        condition = f"position IN ({numbers})" if positions else "false"
        query: Any = self._table.search()
        query = query.where(f"{condition} AND ({first_parts(where).sql()})")
        read = {"features": "features"} | columns
        return query.select(read).with_row_id(True).limit(AT_MAX).to_arrow()


def _read(query: Any, where: Filter, count: int, columns: list[str]) -> pa.Table:
    if condition := where.sql():
        query = query.where(condition, prefilter=True)
    return query.select(columns).with_row_id(True).limit(count).to_arrow()


def _features(rows: pa.Table) -> Features:
    return Features.of(rows["features"], rows[ROW_ID])


def _keys(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return `features.key_of` of each id of 16 bytes."""
    column = ids.cast(pa.binary(16)).combine_chunks()
    halves = np.frombuffer(
        column.buffers()[1], ">u8", 2 * len(column), 16 * column.offset
    )
    return halves[::2].astype(np.uint64)


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
