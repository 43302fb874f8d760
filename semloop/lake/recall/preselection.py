"""Which matches of a query are counted, if there are too many to count all.

Every engine selects the same ones, and only the memories behind the filter count: by
the sum of the weights of the terms that a memory has, then by time, newest first.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semloop.lake.recall.features import Features, Floats, Ints

# Terms of a query that have a weight. From storage, each is a search of its own.
TERMS_MAX = 32


class Matches(NamedTuple):
    """Memories with terms of a query.

    Attributes:
        features: their features.
        frequencies: number of memories with each term, among all that match; zeros if
            these are all. Terms after the first `TERMS_MAX` have zeros, too.
    """

    features: Features
    frequencies: Ints


def all_matches(features: Features, terms: Sequence[str]) -> Matches:
    """Return matches if there are no others."""
    return Matches(features, np.zeros(len(terms), np.int64))


def heaviest(
    weights: Floats,
    times: NDArray[np.int64],
    ids: NDArray[np.uint64],
    count: int,
) -> Ints:
    """Return the indexes of the `count` memories to select, in order.

    Args:
        weights: sum of the weights of the terms of each memory; the largest first.
        times: of equal weights, the newest first.
        ids: of equal times, the smallest first.
        count: how many to select, at most all.
    """
    rows = np.arange(len(weights))
    selected: list[Any] = []
    # Each step sorts nothing: hundreds of thousands may have the same weight.
    for values in (weights, times, ~ids):
        if len(rows) <= count or not count:
            break
        own = values[rows]
        smallest = np.partition(own, len(own) - count)[len(own) - count]
        selected.append(rows[own > smallest])
        count -= len(selected[-1])
        rows = rows[own == smallest]
    found: Ints = np.sort(np.concatenate([*selected, rows[:count]]))
    return found
