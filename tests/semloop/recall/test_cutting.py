"""The best of many rows, by one value after the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semloop.lake.recall.cutting import best_of
from semloop.lake.recall.features import Ints

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.25]), st.integers(-2, 2), st.integers(0, 9)),
    max_size=30,
)


@given(rows=ROWS, data=st.data())
def test_the_best_are_the_first_ones_of_a_sort(
    rows: list[tuple[float, int, int]], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(rows) + 2))
    columns = np.array(rows, [("weight", "f8"), ("time", "i8"), ("id", "u8")])
    weights, times, ids = (columns[name] for name in ("weight", "time", "id"))
    orders = (weights.__getitem__, times.__getitem__, lambda at: ~ids[at])
    found = best_of(len(rows), count, *orders)
    expected = sorted(rows, key=lambda row: (-row[0], -row[1], row[2]))[:count]
    assert sorted(rows[n] for n in found) == sorted(expected)
    assert found.tolist() == sorted(set(found.tolist()))


def test_a_value_is_asked_only_of_rows_that_the_one_before_does_not_decide() -> None:
    asked: list[int] = []

    def second(rows: Ints) -> Ints:
        asked.extend(rows.tolist())
        return -rows

    first = np.array([3, 1, 2, 1, 1, 0])
    assert best_of(6, 3, first.__getitem__, second).tolist() == [0, 1, 2]
    assert asked == [1, 3, 4]
