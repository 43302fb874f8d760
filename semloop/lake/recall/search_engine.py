"""What a recall asks of the memories, whichever engine answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from semloop.lake.recall.features import EventPosition, Features, Floats, Ints, Mask
from semloop.lake.recall.filters import Filter
from semloop.lake.recall.preselection import Matches

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

Matrix = NDArray[np.float32]


class Nearest(NamedTuple):
    """Memories with their vectors, in the same order."""

    features: Features
    vectors: Matrix


class Neighbours(NamedTuple):
    """Memories at asked positions, with their vectors; `is_hit`: may be a hit, too."""

    features: Features
    vectors: Matrix
    is_hit: Mask


class Texts(NamedTuple):
    """Memories at asked positions, with their texts."""

    features: Features
    texts: list[str]


class SearchEngine(Protocol):
    """Searches in one generation of memories, safe for concurrent callers.

    All engines find the same memories, in any order.
    """

    def count(self, where: Filter) -> int:
        """Return the number of memories behind a filter."""

    def by_meaning(self, vector: "Vectors", where: Filter, count: int) -> Nearest:
        """Return the nearest memories behind a filter, at most `count`.

        Of equally near ones those with the smallest ids.
        """

    def by_words(self, terms: Sequence[str], where: Filter, count: int) -> Matches:
        """Return the memories behind a filter that contain one of the terms.

        Only if there are more than `count` of them, `preselection` says which.
        """

    def newest(self, where: Filter, count: int) -> Features:
        """Return the newest memories behind a filter, at most `count`."""

    def neighbours(
        self, positions: set[EventPosition], where: Filter, hits: Filter
    ) -> Neighbours:
        """Return the first parts of events at these positions.

        Args:
            positions: where to look.
            where: condition on the memories.
            hits: condition on hits, which `is_hit` shows.
        """

    def texts_at(self, positions: set[EventPosition], where: Filter) -> Texts:
        """Return the first parts of events at these positions, with their texts."""

    def vectors(self, row_ids: Ints) -> Matrix:
        """Return the vectors of these rows, in their order."""

    def rows(self, row_ids: Ints, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these ids, in their order.

        Raises:
            RowsMoved: a compaction has moved rows meanwhile.
            RuntimeError, ValueError, OSError: it has, or the rows cannot be read.
        """


class RowsMoved(Exception):
    """A compaction has moved rows between two reads."""


def matrix_of(vectors: pa.ChunkedArray | pa.Array) -> Matrix:
    """Return a column of vectors as an array of shape (memories, numbers)."""
    if isinstance(vectors, pa.ChunkedArray):
        vectors = vectors.combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    matrix: Matrix = flat.reshape(len(vectors), vectors.type.list_size)
    return matrix


def keys_of(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return `features.key_of` of each id of 16 bytes."""
    column = ids.cast(pa.binary(16)).combine_chunks()
    halves = np.frombuffer(
        column.buffers()[1], ">u8", 2 * len(column), 16 * column.offset
    )
    return halves[::2].astype(np.uint64)


def cosines(vectors: Matrix, vector: "Vectors") -> Floats:
    """Return the dot product of each row with one vector.

    Each row is summed by itself, so that its value does not depend on other rows.
    """
    products: Floats = (vectors.astype(np.float64) * vector.astype(np.float64)).sum(
        axis=1
    )
    return products
