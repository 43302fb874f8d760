"""The LanceDB searches of a recall, on a table that stays open."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa

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
    SUM,
    TERMS_MAX,
    Matches,
    Sums,
    added,
    all_matches,
    heaviest_rows,
    no_sums,
)
from semloop.lake.recall.search_engine import (
    Matrix,
    Nearest,
    Neighbours,
    RowsMoved,
    Texts,
    keys_of,
    matrix_of,
)

if TYPE_CHECKING:
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


class TableState(NamedTuple):
    """A version of the memories.

    Attributes:
        version: its number.
        has_features: False for a table that an earlier version of SemLoop has created.
        has_words: False for a table that was filled before LanceDB indexed our terms.
        model: the model of the vectors; None if the table's schema does not have it.
    """

    version: int
    has_features: bool
    has_words: bool
    model: str | None

    @classmethod
    def of(cls, version: int, schema: pa.Schema) -> Self:
        """Read the schema of the table."""
        names = set(schema.names)
        model = (schema.metadata or {}).get(b"semloop.model")
        return cls(
            version,
            {"features", "position"} <= names,
            "words" in names,
            model.decode() if model else None,
        )


class MemoryTable:
    """Searches in one generation of memories, safe for concurrent callers."""

    def __init__(self, table: "Table", generation: int) -> None:
        self.generation = generation
        self._table = table
        self._state: TableState | None = None
        self._counts: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._lock = Lock()

    def state(self) -> "TableState":
        """Return what is searched now; columns are read once for each version."""
        version, known = self.version, self._state
        if known is None or known.version != version:
            known = self._state = TableState.of(version, self._table.schema)
        return known

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
        columns = ["features", "vector"]
        rows = self._nearest(vector, where, count + 1, columns)
        near = -rows["_distance"].to_numpy()
        if len(rows) > count and near.min() == np.sort(near)[-count]:
            # Others may be as near as the last one.
            chosen = self._first_of_equal(vector, where, count)
            rows = self.rows(chosen, columns)
            features = Features.of(rows["features"], pa.array(chosen))
            return Nearest(features, matrix_of(rows["vector"]))
        best = best_of(len(rows), count, near.__getitem__)
        return Nearest(_features(rows).take(best), matrix_of(rows["vector"])[best])

    def _first_of_equal(self, vector: "Vectors", where: Filter, count: int) -> Ints:
        """Return the row ids of the nearest, and of equal ones the smallest ids."""
        rows = self._nearest(vector, where, count + EQUAL_MAX, ["id"])
        near, ids = -rows["_distance"].to_numpy(), keys_of(rows["id"])
        best = best_of(len(rows), count, near.__getitem__, lambda at: ~ids[at])
        row_ids: Ints = rows[ROW_ID].to_numpy()[best].astype(np.int64)
        return row_ids

    def _nearest(
        self, vector: "Vectors", where: Filter, count: int, columns: list[str]
    ) -> pa.Table:
        query: Any = self._table.search(vector, vector_column_name="vector")
        query = query.distance_type("dot")
        if self.count(Every()) <= EXACT_ROWS:
            query = query.nprobes(ALL_PARTITIONS)
        else:
            # No maximum: behind a narrow filter, the nearest parts may have no rows.
            query = query.maximum_nprobes(0)
        return _read(query, where, count, [*columns, "_distance"])

    def read_index(self) -> None:
        """Read the index of the vectors into LanceDB's cache, for the first search."""
        if self.count(Every()) <= EXACT_ROWS:
            size = self._table.schema.field("vector").type.list_size
            self._nearest(np.zeros(size, np.float32), Every(), 1, [])

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
        sums, frequencies = no_sums(), np.zeros(len(terms), np.int64)
        for n, group in enumerate(groups):
            rows = self._summands(group, where, memories)
            is_weighted = n < len(weighted)
            if is_weighted:
                frequencies[n] = len(rows)
            weight = rarity(len(rows), memories) if is_weighted else 0.0
            sums = added(sums, rows, weight)
        row_ids = heaviest_rows(sums, count)
        read = self.rows(row_ids, ["features"])
        return Matches(Features.of(read["features"], pa.array(row_ids)), frequencies)

    def _summands(self, terms: Sequence[str], where: Filter, count: int) -> Sums:
        """Return the memories with one of the terms, without weight."""
        # The score of LanceDB counts words of the whole table.
        columns = ["id", "ts", "_score"]
        found = _read(self._matching(terms), where, count, columns)
        rows = np.zeros(len(found), SUM)
        rows["row"] = found[ROW_ID].to_numpy()
        rows["ts"] = found["ts"].cast(pa.int64()).to_numpy()
        rows["id"] = keys_of(found["id"])
        return rows

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
