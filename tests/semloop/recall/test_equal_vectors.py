"""Memories with the same vector: which are the nearest, and what it costs to know."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from semloop.lake.recall import searches
from semloop.lake.recall.filters import Every
from semloop.lake.recall.resident.searches import ResidentSearches
from semloop.lake.recall.search_engine import Nearest
from tests.semloop.recall.a_memory_lake import HASHING, a_memory_lake, a_message
from tests.semloop.recall.two_engines import two_engines

pytestmark = pytest.mark.slow

EQUAL, COUNT = 700, 60


def a_vector(*numbers: float) -> Any:
    """Return a vector of norm 1 that begins with these numbers."""
    vector = np.zeros(HASHING.dimension, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def nearest_of(found: Nearest) -> dict[int, list[float]]:
    """Return the vectors by the offset of their memory."""
    offsets = found.features.header["offset"].tolist()
    return dict(zip(offsets, found.vectors.tolist(), strict=True))


def test_of_equally_near_memories_only_those_that_are_returned_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, equal, far = a_vector(1), a_vector(1, 1), a_vector(0, 0, 1)
    vectors = [near] * 5 + [equal] * EQUAL + [far] * 5
    rows = [a_message(f"trip {n}", vector=vector) for n, vector in enumerate(vectors)]
    lake = a_memory_lake(tmp_path, *rows[::-1])
    read, asked = searches._read, list[tuple[int, list[str]]]()

    def noted(query: Any, where: Any, count: int, columns: list[str]) -> pa.Table:
        asked.append((count, columns))
        return read(query, where, count, columns)

    monkeypatch.setattr(searches, "_read", noted)
    with two_engines(lake.settings) as engines:
        memories, opened = engines.in_memory(), engines.stored.opened()
        assert memories is not None
        assert opened is not None
        for count, reads in ((4, 2), (5, 1), (COUNT, 2), (EQUAL + 5, 1), (2_000, 1)):
            expected = ResidentSearches(memories).by_meaning(near, Every(), count)
            asked.clear()
            found = opened[1].by_meaning(near, Every(), count)
            assert nearest_of(found) == nearest_of(expected)
            assert len(found.features) == min(count, len(rows))
            whole = (count + 1, ["features", "vector", "_distance"])
            ids = (count + searches.EQUAL_MAX, ["id", "_distance"])
            assert asked == [whole, ids][:reads]
