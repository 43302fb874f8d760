"""The searches of one recall in memory."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from semloop.lake.recall.cutting import Values, best_of
from semloop.lake.recall.features import (
    EventPosition,
    Features,
    Ints,
    Mask,
    position_of,
    stacked,
)
from semloop.lake.recall.filters import Filter
from semloop.lake.recall.keywords import rarity
from semloop.lake.recall.preselection import (
    TERMS_MAX,
    Matches,
    all_matches,
    heaviest,
)
from semloop.lake.recall.resident.memories import ResidentMemories
from semloop.lake.recall.resident.segment import Segment
from semloop.lake.recall.resident.sharing import shared
from semloop.lake.recall.search_engine import (
    Matrix,
    Nearest,
    Neighbours,
    RowsMoved,
    Texts,
)
from semloop.lake.recall.stems import hashes

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

# Up to this share of the rows, their vectors are copied to compare them alone.
GATHERED = 1 / 4
# From this number of memories on, two threads compare their vectors: 3 ms of one.
SHARED_ROWS = 40_000
# Vectors that a thread compares before it takes the next ones: 1 ms.
BLOCK_ROWS = 16_384


class ResidentSearches:
    """Searches in memory; what is not in memory, it asks of the table.

    Unit of parallelism: a recall, whose threads share it; numpy and Arrow release the
    interpreter lock. A thread that is free helps with many vectors.

    Args:
        memories: what to search.
        threads: those that may help.
    """

    def __init__(
        self, memories: ResidentMemories, threads: Executor | None = None
    ) -> None:
        self._table, self._segments = memories.table, memories.segments
        self._threads = threads
        # A recall uses the same filters again and again.
        self._masks: dict[int, tuple[Filter, list[Mask]]] = {}

    def count(self, where: Filter) -> int:
        """Return the number of memories behind a filter."""
        return sum(int(np.count_nonzero(mask)) for mask in self._mask(where))

    def by_meaning(self, vector: "Vectors", where: Filter, count: int) -> Nearest:
        """Return the nearest memories behind a filter, at most `count`.

        Of equally near ones those with the smallest ids.
        """
        masks = self._mask(where)
        blocks = [
            (part.vectors[start : start + BLOCK_ROWS], mask[start : start + BLOCK_ROWS])
            for part, mask in zip(self._segments, masks, strict=True)
            for start in range(0, len(mask), BLOCK_ROWS)
        ]
        is_large = sum(map(len, masks)) >= SHARED_ROWS
        threads = self._threads if is_large else None
        found = shared(lambda n: _products(*blocks[n], vector), len(blocks), threads)
        near, chosen = np.concatenate(found), self._behind(where)
        ids = self._header("id", chosen)
        chosen = _best(chosen, count, near.__getitem__, lambda at: ~ids(at))
        return Nearest(self._features(chosen), self._vectors(chosen))

    def by_words(self, terms: Sequence[str], where: Filter, count: int) -> Matches:
        """Return the memories behind a filter that contain one of the terms.

        Only if there are more than `count` of them, `preselection` says which.
        """
        stems = hashes(terms)
        is_found = [np.zeros(len(part), bool) for part in self._segments]
        weights = [np.zeros(len(part)) for part in self._segments]
        frequencies = np.zeros(len(terms), np.int64)
        memories = self.count(where)
        for n, stem in enumerate(stems[:TERMS_MAX]):
            matching = self._matching([stem], where)
            frequencies[n] = sum(map(len, matching))
            weight = rarity(frequencies[n], memories)
            for own, found, rows in zip(weights, is_found, matching, strict=True):
                own[rows] += weight
                found[rows] = True
        others = self._matching(stems[TERMS_MAX:], where)
        for found, rows in zip(is_found, others, strict=True):
            found[rows] = True
        chosen = [np.flatnonzero(found) for found in is_found]
        if sum(map(len, chosen)) <= count:
            return all_matches(self._features(chosen), terms)
        every = [own[rows] for own, rows in zip(weights, chosen, strict=True)]
        best = heaviest(
            np.concatenate(every),
            self._header("ts", chosen),
            self._header("id", chosen),
            count,
        )
        return Matches(self._features(_at(chosen, best)), frequencies)

    def newest(self, where: Filter, count: int) -> Features:
        """Return the newest memories behind a filter, at most `count`."""
        chosen = self._behind(where)
        times, ids = self._header("ts", chosen), self._header("id", chosen)
        found = self._features(_best(chosen, count, times, lambda at: ~ids(at)))
        return found.take(np.lexsort((found.header["id"], -found.header["ts"])))

    def neighbours(
        self, positions: set[EventPosition], where: Filter, hits: Filter
    ) -> Neighbours:
        """Return the first parts of events at these positions."""
        chosen = self._placed(positions, where)
        masks = zip(self._mask(hits), chosen, strict=True)
        is_hit = [mask[rows] for mask, rows in masks]
        return Neighbours(
            self._features(chosen), self._vectors(chosen), np.concatenate(is_hit)
        )

    def texts_at(self, positions: set[EventPosition], where: Filter) -> Texts:
        """Return the first parts of events at these positions, with their texts."""
        features = self._features(self._placed(positions, where))
        texts = self.rows(features.row_ids, ["text"])["text"]
        return Texts(features, texts.to_pylist())

    def vectors(self, row_ids: Ints) -> Matrix:
        """Return the vectors of these rows, in their order."""
        chosen, order = self._places(row_ids)
        return self._vectors(chosen)[order]

    def rows(self, row_ids: Ints, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these ids, in their order.

        Raises:
            RowsMoved: a compaction has moved rows meanwhile.
            RuntimeError, ValueError, OSError: it has, or the rows cannot be read.
        """
        if not all(part.has_shown for part in self._segments):
            return self._table.rows(row_ids, columns)
        chosen, order = self._places(row_ids)
        names = list(columns)
        parts = [
            _decoded(part.table.select(names).take(rows))
            for part, rows in self._with(chosen)
        ]
        return pa.concat_tables(parts).take(order)

    def _with(self, chosen: Sequence[Ints]) -> list[tuple[Segment, Ints]]:
        """Return the segments with chosen rows; without any, the first segment."""
        found = list(zip(self._segments, chosen, strict=True))
        return [(part, rows) for part, rows in found if len(rows)] or found[:1]

    def _mask(self, where: Filter) -> list[Mask]:
        """Return which memories of each segment are behind a filter."""
        if id(where) not in self._masks:
            # The filter is kept, too: its address must not be that of another one.
            found = [part.mask(where) for part in self._segments]
            self._masks[id(where)] = where, found
        return self._masks[id(where)][1]

    def _matching(self, stems: Sequence[int], where: Filter) -> list[Ints]:
        """Return the rows of each segment behind a filter with one of the stems."""
        matching = [part.stems.rows_of(stems) for part in self._segments]
        masks = zip(matching, self._mask(where), strict=True)
        return [rows if mask.all() else rows[mask[rows]] for rows, mask in masks]

    def _header(self, name: str, chosen: Sequence[Ints]) -> Values:
        """Return a function from indexes in all chosen rows to values of a header."""

        def values(at: Ints) -> NDArray[Any]:
            rows = self._with(_at(chosen, at))
            return np.concatenate(
                [part.features.header[name][own] for part, own in rows]
            )

        return values

    def _behind(self, where: Filter) -> list[Ints]:
        return [np.flatnonzero(mask) for mask in self._mask(where)]

    def _placed(self, positions: set[EventPosition], where: Filter) -> list[Ints]:
        keys = [position_of(*position) for position in positions]
        chosen = []
        for part, mask in zip(self._segments, self._mask(where), strict=True):
            rows = part.positions.rows_of(keys)
            is_first = part.features.header["part"][rows] == 0
            chosen.append(rows[mask[rows] & is_first])
        return chosen

    def _places(self, row_ids: Ints) -> tuple[list[Ints], Ints]:
        """Return the rows of each segment with these ids, and how to order them."""
        indexes = [part.index_of(row_ids) for part in self._segments]
        asked = [np.flatnonzero(index >= 0) for index in indexes]
        places = np.concatenate(asked)
        if len(places) < len(row_ids):
            msg = f"{len(row_ids) - len(places)} rows have moved"
            raise RowsMoved(msg)
        chosen = [index[at] for index, at in zip(indexes, asked, strict=True)]
        return chosen, np.argsort(places)

    def _features(self, chosen: Sequence[Ints]) -> Features:
        return stacked([part.features.take(rows) for part, rows in self._with(chosen)])

    def _vectors(self, chosen: Sequence[Ints]) -> Matrix:
        found: Matrix = np.concatenate(
            [part.vectors[rows] for part, rows in self._with(chosen)]
        )
        return found


def _products(vectors: Matrix, mask: Mask, vector: "Vectors") -> NDArray[np.float32]:
    """Return the dot products of the vectors of some rows with one vector.

    `vecdot` computes each row in the calling thread, without the interpreter lock: a
    product of matrix and vector by BLAS would start threads, and took three times as
    long.
    """
    few = np.count_nonzero(mask) <= GATHERED * len(mask)
    products: NDArray[np.float32] = (
        np.vecdot(vectors[mask], vector) if few else np.vecdot(vectors, vector)[mask]
    )
    return products


def _best(chosen: Sequence[Ints], count: int, *orders: Values) -> list[Ints]:
    """Return `best_of` the chosen rows of all segments."""
    return _at(chosen, best_of(sum(map(len, chosen)), count, *orders))


def _at(chosen: Sequence[Ints], indexes: Ints) -> list[Ints]:
    """Return the rows at sorted indexes in all chosen ones, by segment."""
    ends = np.cumsum([len(rows) for rows in chosen])
    parts = np.split(indexes, np.searchsorted(indexes, ends[:-1]))
    return [
        rows[part - (end - len(rows))]
        for rows, part, end in zip(chosen, parts, ends, strict=True)
    ]


def _decoded(rows: pa.Table) -> pa.Table:
    """Return rows with texts in place of codes."""
    columns = [
        column.cast(column.type.value_type)
        if pa.types.is_dictionary(column.type)
        else column
        for column in rows.columns
    ]
    return pa.table(columns, names=rows.column_names)
