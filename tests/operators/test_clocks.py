"""Episodes do not depend on whose clocks are off, nor on when the flows ran."""

import random

import pytest

from tests.operators.clock_histories import (
    a_history,
    boundaries,
    episodes,
    in_one_pass,
    live,
)

pytestmark = pytest.mark.slow

# Seeds of histories: all with `just test -m storm`, some in every run.
PARTS = [
    pytest.param(range(15), id="from 0"),
    pytest.param(range(15, 500), id="from 15", marks=pytest.mark.storm),
]


@pytest.mark.parametrize("seeds", PARTS)
def test_episodes_are_a_function_of_records_and_settings(seeds: range) -> None:
    """Live polls, restarts and outages, with clocks that are off, change nothing."""
    for seed in seeds:
        rng = random.Random(seed)
        history = a_history(rng)
        rows, early = live(history, rng)
        assert episodes(rows) == episodes(in_one_pass(history)), seed
        assert boundaries(rows) == boundaries(in_one_pass(history, exact=True)), seed
        assert early == 0, seed
