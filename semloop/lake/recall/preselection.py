"""Which matches of a query are counted, if there are too many to count all.

Every engine selects the same ones, and only the memories behind the filter count: by
the sum of the weights of the terms that a memory has, then by time, newest first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semloop.lake.recall.cutting import Values, best_of
from semloop.lake.recall.features import Features, Floats, Ints

# The sum of the weights of one memory, and what decides between equal ones.
SUM = np.dtype([("row", "<i8"), ("weight", "<f8"), ("ts", "<i8"), ("id", "<u8")])
Sums = NDArray[np.void]
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


def heaviest(weights: Floats, times: Values, ids: Values, count: int) -> Ints:
    """Return the rows to select, in order.

    Args:
        weights: the sum of the weights of each row's terms.
        times: `ts` of rows; the newest of equal weights are first.
        ids: their ids; the smallest of equal times are first.
        count: how many.
    """
    return best_of(
        len(weights), count, weights.__getitem__, times, lambda rows: ~ids(rows)
    )


def no_sums() -> Sums:
    """Return the sums before the first term."""
    return np.zeros(0, SUM)


def added(sums: Sums, rows: Sums, weight: float) -> Sums:
    """Add the weight of one term, whose rows need not be kept.

    Args:
        sums: of the terms before it, by ascending `row`.
        rows: the memories with the term, each once, with weight 0.
        weight: the term's.

    Returns:
        The sums of all memories with one of the terms, by ascending `row`.
    """
    # Searching for keys in order is several times as fast.
    rows = rows[np.argsort(rows["row"])]
    at = np.searchsorted(sums["row"], rows["row"])
    is_new = np.append(sums["row"], -1)[at] != rows["row"]
    if is_new.any():
        sums = np.concatenate([sums, rows[is_new]])
        sums = sums[np.argsort(sums["row"], kind="stable")]
        at = np.searchsorted(sums["row"], rows["row"])
    sums["weight"][at] += weight
    return sums


def heaviest_rows(sums: Sums, count: int) -> Ints:
    """Return the `row` of the memories to select."""
    times, ids = sums["ts"].__getitem__, sums["id"].__getitem__
    rows: Ints = sums["row"][heaviest(sums["weight"], times, ids, count)]
    return rows
