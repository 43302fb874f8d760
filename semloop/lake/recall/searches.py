"""The LanceDB searches of a recall, on a table that stays open."""

from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from semloop.lake import generations
from semloop.lake.recall.filters import one_of
from semloop.tables import MEMORIES

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb import DBConnection
    from lancedb.table import Table

    from semloop.embedders.contract import Vectors
    from semloop.storage.location import Storage

# Columns of a hit, with the vector for its similarity.
READ = tuple(
    name for name in MEMORIES if name not in {"started_at", "kafka_ts", "writer"}
)
# Column: True if a row passes the user's filters.
HIT = "hit"
ROW_ID = "_rowid"
ATTEMPTS = 3
# Maximum rows of one lookup by position; an event with a long text has several rows.
AT_MAX = 2_000
# (episode id, seq) of an event.
EventPosition = tuple[str, int]
POSITION_COLUMNS = ("kind", "episode_id", "seq")


@dataclass(frozen=True, slots=True)
class SearchResults:
    """Rows of both searches, best first, and the neighbours of their top results.

    `absent`: positions of neighbours that do not exist.
    """

    branches: "list[pa.Table]"
    neighbours: "pa.Table"
    absent: Set[EventPosition]


class Searches:
    """Searches in one generation of memories.

    Args:
        storage: the lake.
        stale_s: maximum age, in seconds, of the version that is searched; each check
            for a new version is a request to the storage.
    """

    def __init__(self, storage: "Storage", stale_s: float) -> None:
        self._storage, self._stale_s = storage, stale_s
        self._connection: DBConnection | None = None
        self._table: Table | None = None
        self._generation = 0
        self._threads = ThreadPoolExecutor(2, "recall")

    def open(self, generation: int) -> bool:
        """Open the table of a generation; False if it does not exist yet.

        Raises:
            OSError, RuntimeError: it cannot be read.
        """
        if self._table is not None and generation == self._generation:
            return True
        if self._connection is None:
            self._connection = generations.connect(self._storage, self._stale_s)
        self._table = generations.open_table(self._connection, generation)
        self._generation = generation
        return self._table is not None

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown()

    @property
    def model(self) -> str | None:
        """The model of the vectors; None if the table's schema does not have it."""
        model = (self._open_table.schema.metadata or {}).get(b"semloop.model")
        return model.decode() if model else None

    def nearest(
        self, vector: "Vectors", words: str, where: str, count: int, first: int
    ) -> SearchResults:
        """Search by vector and by full text.

        The searches return row ids, and one read fetches the rows: half the time.

        Args:
            vector: vector of the query.
            words: words of the query, without stop words.
            where: filter of the hits, in Lance's SQL; empty for no filter.
            count: maximum results per search.
            first: top results per search whose neighbours are read too.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return self._nearest(vector, words, where, count, first)
            except (RuntimeError, ValueError, OSError):
                # A compaction in between moves rows, which makes their ids invalid.
                continue
        return self._nearest(vector, words, where, count, first)

    def _nearest(
        self, vector: "Vectors", words: str, where: str, count: int, first: int
    ) -> SearchResults:
        submitted = self._threads.submit(self._by_meaning, vector, where, count)
        by_words = self._by_words(words, where, count)
        found = [submitted.result(), by_words]
        top = {p for rows in found for p in _positions(rows.slice(0, first))}
        adjacent = {(e, n + step) for e, n in top for step in (-1, 1) if n + step >= 0}
        neighbours = self._at(adjacent - top, where)
        ids = [rows[ROW_ID].to_pylist() for rows in (*found, neighbours)]
        distinct = list(dict.fromkeys(chain(*ids)))
        rows = self._rows(distinct, READ)
        index = {row_id: n for n, row_id in enumerate(distinct)}
        tables = [_take(rows, [index[row_id] for row_id in part]) for part in ids]
        return SearchResults(
            tables[:2],
            tables[2].append_column(HIT, neighbours[HIT]),
            adjacent - top - set(_positions(neighbours)),
        )

    def _rows(self, ids: list[int], columns: Sequence[str]) -> "pa.Table":
        """Read the rows of these ids, in their order."""
        if not ids:
            return self._open_table.schema.empty_table().select(list(columns))
        query = self._open_table.take_row_ids(ids).select(list(columns)).with_row_id()
        rows = query.to_arrow()
        index = {row_id: n for n, row_id in enumerate(rows[ROW_ID].to_pylist())}
        return _take(rows.select(list(columns)), [index[row_id] for row_id in ids])

    def newest(self, where: str, count: int) -> "pa.Table":
        """Return the newest memories that pass the filters."""
        from lancedb.query import ColumnOrdering

        order = [ColumnOrdering(column_name="ts", ascending=False)]
        query = self._open_table.search().order_by(order)
        if where:
            query = query.where(where)
        rows: pa.Table = query.select(list(READ)).limit(count).to_arrow()
        return rows

    def at(self, positions: Set[EventPosition], columns: Sequence[str]) -> "pa.Table":
        """Return the memories of events at these positions."""
        return self._rows(self._at(positions, "")[ROW_ID].to_pylist(), columns)

    def _at(self, positions: Set[EventPosition], where: str) -> "pa.Table":
        """Find the row ids of events at these positions, with the column `hit`."""
        import pyarrow as pa

        seqs = ", ".join(str(n) for n in sorted({n for _, n in positions}))
        condition = " AND ".join(
            (
                one_of("episode_id", sorted({episode for episode, _ in positions})),
                f"seq IN ({seqs})",
            )
        )
        query = self._open_table.search().where(condition if positions else "false")
        read: dict[str, Any] = {name: name for name in POSITION_COLUMNS}
        read[HIT] = where or "true"
        found = query.select(read).with_row_id(True).limit(AT_MAX).to_arrow()
        # The condition also matches an episode id with the seq of another position.
        columns = (found[name].to_pylist() for name in POSITION_COLUMNS)
        kept = [
            kind == "event" and (episode, n) in positions
            for kind, episode, n in zip(*columns, strict=True)
        ]
        rows: pa.Table = found.filter(pa.array(kept, pa.bool_()))
        return rows

    def _by_meaning(self, vector: "Vectors", where: str, count: int) -> "pa.Table":
        query: Any = self._open_table.search(vector, vector_column_name="vector")
        return _run(query.distance_type("dot"), where, count, "_distance")

    def _by_words(self, words: str, where: str, count: int) -> "pa.Table":
        from lancedb.query import MatchQuery

        match = MatchQuery(words, "search_text")  # type: ignore[call-arg]
        query = self._open_table.search(match, query_type="fts")
        return _run(query, where, count, "_score")

    @property
    def _open_table(self) -> "Table":
        assert self._table is not None, "open() first"
        return self._table


def _run(query: Any, where: str, count: int, score: str) -> "pa.Table":
    """Return row ids and positions of the hits that pass the filters, best first."""
    if where:
        query = query.where(where, prefilter=True)
    read = [*POSITION_COLUMNS, score]
    rows: pa.Table = query.select(read).with_row_id(True).limit(count).to_arrow()
    return rows


def _positions(rows: "pa.Table") -> list[EventPosition]:
    """Return the positions of the events among the rows."""
    columns = (rows[name].to_pylist() for name in POSITION_COLUMNS)
    values = zip(*columns, strict=True)
    return [(episode, n) for kind, episode, n in values if kind == "event"]


def _take(rows: "pa.Table", indices: list[int]) -> "pa.Table":
    """Return the rows at these indices, in their order."""
    import pyarrow as pa

    # Without a type, Arrow infers null for an empty list.
    taken: pa.Table = rows.take(pa.array(indices, pa.int64()))
    return taken
