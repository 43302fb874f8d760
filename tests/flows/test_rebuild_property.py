"""A rebuild gives the same tables after any mix of clocks, spools and restarts."""

import random
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.rebuild import rebuild
from flows.rebuild_parity import verify
from tests.flows.rebuilt_lake import both, delete_both
from tests.flows.reindex_lake import LATER_MS, Events, small_poll_settings
from tests.operators.clock_histories import GAP_S, a_history, caught_up_ms
from tests.sinks.memory_process import MemoryProcess
from tests.support.examples import examples

pytestmark = pytest.mark.slow


@examples(2)
@given(seed=st.integers(0, 2**32))
def test_a_rebuild_of_deleted_tables_gives_what_memory_wrote(seed: int) -> None:
    rng = random.Random(seed)
    history = a_history(rng)
    rows, count = history.events(), len(history.records)
    with tempfile.TemporaryDirectory() as folder:
        settings = small_poll_settings(Path(folder, "lake")).replace(
            session_gap_s=GAP_S,
            open_episodes=history.settings.open_episodes,
            open_episodes_total=history.settings.open_episodes_total,
        )
        events = Events(settings, caught_up_ms=0)
        life = MemoryProcess(settings)
        cuts = sorted({0, count, *(rng.randrange(count) for _ in range(8))})
        for start, end in pairwise(cuts):
            at_ms = LATER_MS if end == count else caught_up_ms(history, end)
            part = rows.slice(start, end - start)
            every = events.add(part, None if at_ms is None else int(at_ms))
            if rng.random() < 0.2:
                life = MemoryProcess(settings)
            if end == count or rng.random() < 0.8:
                while life.read(every, 20, None if at_ms is None else int(at_ms)):
                    pass
        before = both(settings)
        assert verify(settings).agrees
        delete_both(settings)
        rebuild(settings)
        assert both(settings) == before
