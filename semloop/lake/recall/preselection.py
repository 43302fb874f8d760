"""Which matches of a query are counted, if there are too many to count all.

Every engine selects the same ones, and only the memories behind the filter count: by
the sum of the weights of the terms that a memory has, then by time, newest first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from semloop.lake.recall.cutting import Values, best_of
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
