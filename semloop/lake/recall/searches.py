"""The searches in LanceDB of which a recall is made, on a handle that is kept."""

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

# What a hit is made of, and the vector for its similarity.
READ = tuple(
    name for name in MEMORIES if name not in {"started_at", "kafka_ts", "writer"}
)
# Whether a row passes the filters of the user.
HIT = "hit"
ROW_ID = "_rowid"
# How often a search is tried.
ATTEMPTS = 3
# Rows at the places of a query; one event may be many, if its text is long.
AT_MAX = 2_000
# (episode id, seq): the place of an event in its episode.
Place = tuple[str, int]
PLACED = ("kind", "episode_id", "seq")


@dataclass(frozen=True, slots=True)
class Near:
    """The rows of the searches, each the best first, and neighbours of the first.

    `absent`: places of neighbours that are not there.
    """

    branches: "list[pa.Table]"
    around: "pa.Table"
    absent: Set[Place]


class Searches:
    """One generation of memories, as it is now or was `stale_s` ago.

    Args:
        storage: the lake.
        stale_s: how old the state may be; each look is a request to the storage.
    """

    def __init__(self, storage: "Storage", stale_s: float) -> None:
        self._storage, self._stale_s = storage, stale_s
        self._connection: DBConnection | None = None
        self._table: Table | None = None
        self._generation = 0
        self._threads = ThreadPoolExecutor(2, "recall")

    def open(self, generation: int) -> bool:
        """Take the memories of a generation; False if there are none yet.

        Raises:
            OSError, RuntimeError: they cannot be read.
        """
        if self._table is not None and generation == self._generation:
            return True
        if self._connection is None:
            self._connection = generations.connect(self._storage, self._stale_s)
        self._table = generations.open_table(self._connection, generation)
        self._generation = generation
        return self._table is not None

    def close(self) -> None:
        """Let go of what is open."""
        self._threads.shutdown()

    @property
    def model(self) -> str | None:
        """The model of the vectors; None if the table does not say."""
        said = (self._opened.schema.metadata or {}).get(b"semloop.model")
        return said.decode() if said else None

    def nearest(
        self, vector: "Vectors", words: str, where: str, count: int, first: int
    ) -> "Near":
        """The memories nearest in meaning, and those that best fit the words.

        Only row ids are searched for and the rows are read at once: half of the time.

        Args:
            vector: of the query.
            words: of the query, without those that only ask.
            where: what hits must fulfil, in Lance's SQL; empty for nothing.
            count: how many of each.
            first: of so many of each the neighbours are read too.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return self._nearest(vector, words, where, count, first)
            except (RuntimeError, ValueError, OSError):
                # A compaction in between moves rows, whose ids are then gone.
                continue
        return self._nearest(vector, words, where, count, first)

    def _nearest(
        self, vector: "Vectors", words: str, where: str, count: int, first: int
    ) -> "Near":
        submitted = self._threads.submit(self._by_meaning, vector, where, count)
        by_words = self._by_words(words, where, count)
        found = [submitted.result(), by_words]
        known = {place for rows in found for place in _places(rows.slice(0, first))}
        wanted = {(e, n + step) for e, n in known for step in (-1, 1) if n + step >= 0}
        around = self._at(wanted - known, where)
        ids = [rows[ROW_ID].to_pylist() for rows in (*found, around)]
        distinct = list(dict.fromkeys(chain(*ids)))
        rows = self._rows(distinct, READ)
        at = {row: n for n, row in enumerate(distinct)}
        tables = [_taken(rows, [at[row] for row in found]) for found in ids]
        return Near(
            tables[:2],
            tables[2].append_column(HIT, around[HIT]),
            wanted - known - set(_places(around)),
        )

    def _rows(self, ids: list[int], columns: Sequence[str]) -> "pa.Table":
        """The rows of these ids, in their order."""
        if not ids:
            return self._opened.schema.empty_table().select(list(columns))
        query = self._opened.take_row_ids(ids).select(list(columns)).with_row_id()
        rows = query.to_arrow()
        at = {row: n for n, row in enumerate(rows[ROW_ID].to_pylist())}
        return _taken(rows.select(list(columns)), [at[row] for row in ids])

    def newest(self, where: str, count: int) -> "pa.Table":
        """The newest memories that pass the filters."""
        from lancedb.query import ColumnOrdering

        order = [ColumnOrdering(column_name="ts", ascending=False)]
        query = self._opened.search().order_by(order)
        if where:
            query = query.where(where)
        found: pa.Table = query.select(list(READ)).limit(count).to_arrow()
        return found

    def at(self, wanted: Set[Place], columns: Sequence[str]) -> "pa.Table":
        """Memories of events at these places."""
        return self._rows(self._at(wanted, "")[ROW_ID].to_pylist(), columns)

    def _at(self, wanted: Set[Place], where: str) -> "pa.Table":
        """Row ids of events at these places; `hit`: whether they pass the filters."""
        import pyarrow as pa

        at = " AND ".join(
            (
                one_of("episode_id", sorted({episode for episode, _ in wanted})),
                f"seq IN ({', '.join(str(n) for n in sorted({n for _, n in wanted}))})",
            )
        )
        query = self._opened.search().where(at if wanted else "false")
        read: dict[str, Any] = {name: name for name in PLACED}
        read[HIT] = where or "true"
        found = query.select(read).with_row_id(True).limit(AT_MAX).to_arrow()
        # Also where one's episode meets the number of another, and episodes.
        columns = (found[name].to_pylist() for name in PLACED)
        kept = [
            kind == "event" and (episode, n) in wanted
            for kind, episode, n in zip(*columns, strict=True)
        ]
        rows: pa.Table = found.filter(pa.array(kept, pa.bool_()))
        return rows

    def _by_meaning(self, vector: "Vectors", where: str, count: int) -> "pa.Table":
        query: Any = self._opened.search(vector, vector_column_name="vector")
        return _found(query.distance_type("dot"), where, count, "_distance")

    def _by_words(self, words: str, where: str, count: int) -> "pa.Table":
        from lancedb.query import MatchQuery

        match = MatchQuery(words, "search_text")  # type: ignore[call-arg]
        query = self._opened.search(match, query_type="fts")
        return _found(query, where, count, "_score")

    @property
    def _opened(self) -> "Table":
        assert self._table is not None, "open() first"
        return self._table


def _found(query: Any, where: str, count: int, score: str) -> "pa.Table":
    """Ids and places of a search whose hits all pass the filters, the best first."""
    if where:
        query = query.where(where, prefilter=True)
    read = [*PLACED, score]
    found: pa.Table = query.select(read).with_row_id(True).limit(count).to_arrow()
    return found


def _places(rows: "pa.Table") -> list[Place]:
    """Where the events among the rows are in their episodes."""
    columns = (rows[name].to_pylist() for name in PLACED)
    found = zip(*columns, strict=True)
    return [(episode, n) for kind, episode, n in found if kind == "event"]


def _taken(rows: "pa.Table", numbers: list[int]) -> "pa.Table":
    """Some of the rows, in another order."""
    import pyarrow as pa

    # Arrow takes an empty list for one of nulls.
    taken: pa.Table = rows.take(pa.array(numbers, pa.int64()))
    return taken
