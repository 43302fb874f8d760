"""BM25 over the matches of a query, with the statistics of these matches alone.

LanceDB's own score counts words in the whole table: it would show one namespace how
often another one uses a word, and a name that is frequent in one seems rare.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from semloop.lake.recall.features import Floats, Ints

# The usual constants of BM25.
K1 = 1.2
B = 0.75


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """How often the stems of a query occur in a collection.

    Attributes:
        memories: number of memories of the collection.
        frequencies: number of memories with each stem.
        length: mean number of stems of a memory.
    """

    memories: int
    frequencies: Ints
    length: float

    @classmethod
    def of(cls, counts: Ints, lengths: Ints, memories: int | None = None) -> Self:
        """Count in the given memories, by default as the whole collection."""
        total = len(lengths) if memories is None else max(memories, len(lengths))
        # Sums of integers are exact in any order.
        mean = int(lengths.sum()) / len(lengths) if len(lengths) else 0.0
        return cls(total, np.count_nonzero(counts, axis=0), mean)

    def at_least(self, frequencies: Ints) -> Self:
        """Return statistics with frequencies that are not below these."""
        return replace(self, frequencies=np.maximum(self.frequencies, frequencies))


def bm25(counts: Ints, lengths: Ints, statistics: Statistics) -> Floats:
    """Return the BM25 score of memories.

    The sum over stems of `ln(1 + (N - n + 0.5) / (n + 0.5)) * f * (k1 + 1) / (f + k1 *
    (1 - b + b * l / L))`: Robertson and Zaragoza, The Probabilistic Relevance
    Framework, 2009, with Lucene's form of the first factor.

    Args:
        counts: occurrences of each stem, shape (memories, stems).
        lengths: number of stems of each memory.
        statistics: N, n and L.
    """
    scores = np.zeros(len(lengths))
    if not statistics.length:
        return scores
    norm = K1 * (1 - B + B * lengths / statistics.length)
    # One stem after the other: the sum of a memory is independent of other memories.
    for column, frequency in zip(counts.T, statistics.frequencies, strict=True):
        rare = rarity(frequency, statistics.memories)
        scores += rare * (K1 + 1) * column / (column + norm)
    return scores


def rarity(frequency: int, memories: int) -> float:
    """Return the first factor of `bm25`: how much a stem tells."""
    return float(np.log(1 + (memories - frequency + 0.5) / (frequency + 0.5)))
