"""The best of many rows, without sorting them: a cut by one value, then by the next."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semloop.lake.recall.features import Ints

# Returns the value of each of some rows.
Values = Callable[[Ints], NDArray[Any]]


def best_of(total: int, count: int, *orders: Values) -> Ints:
    """Return the best rows, at most `count` of those below `total`, in order.

    Args:
        total: number of rows.
        count: how many to return.
        orders: largest values first; each decides between rows that are equal in all
            before it, and is asked for no others. Of rows that are equal in all orders,
            any.
    """
    rows = np.arange(total)
    kept: list[Ints] = []
    for values in orders:
        if len(rows) <= count or not count:
            break
        own = values(rows)
        smallest = np.partition(own, len(own) - count)[len(own) - count]
        kept.append(rows[own > smallest])
        count -= len(kept[-1])
        rows = rows[own == smallest]
    found: Ints = np.sort(np.concatenate([*kept, rows[:count]]))
    return found
