"""The real sink on real tables under crashes, rivals and lost replies.

In every schedule of `storm_schedule.py`, each record must be in exactly one table,
once. `tests/simulation` runs many more schedules without deltalake and DuckDB, and
breaks each rule of the protocol.
"""

import itertools
from pathlib import Path

import pytest

from sinks.delta.takeover import Takeover
from tests.sinks.broken_rules import SideFirst
from tests.sinks.storm_schedule import Storm, Writer

pytestmark = [pytest.mark.usefixtures("fast_retries"), pytest.mark.slow]


def check(storm: Storm) -> None:
    storm.run()
    assert not storm.excluded, dict(storm.seen)
    assert storm.audit() == (0, 0), dict(storm.seen)


def test_every_record_is_stored_once_despite_faults(tmp_path: Path) -> None:
    check(Storm(tmp_path, 0))


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_every_record_is_stored_once_in_many_more_schedules(tmp_path: Path) -> None:
    for seed in range(1000, 1300):
        check(Storm(tmp_path / str(seed), seed, records=40))


def rivals(folder: Path, order: tuple[int, ...], takeover: type[Takeover]) -> int:
    """Run the steps of two writers in an order; return how many could commit."""
    folder.mkdir()
    storm = type("Rivals", (Storm,), {"takeover_class": takeover})(folder, 0)
    storm.calm = True
    writers = [Writer(storm, [0, 1, 2]), Writer(storm, [0, 1, 2])]
    storm.writers = list(writers)
    for writer in writers:
        next(writer.steps)  # Open the tables.
    for turn in order + (0, 1) * 4:  # Then four polls each.
        if writers[turn] in storm.writers:
            storm.step(writers[turn])
    assert storm.audit()[1] == 0
    return len(storm.writers)


# Orders of three steps of two writers: fence main table, fence side table, resume.
ORDERS = sorted(set(itertools.permutations((0, 0, 0, 1, 1, 1))))


def test_exactly_one_of_two_rivals_continues_in_every_interleaving(
    tmp_path: Path,
) -> None:
    for number, order in enumerate(ORDERS):
        assert rivals(tmp_path / str(number), order, Takeover) == 1, order


def test_rivals_both_stop_if_the_side_table_is_fenced_first(tmp_path: Path) -> None:
    for number, order in enumerate(ORDERS):
        if not rivals(tmp_path / str(number), order, SideFirst):
            return
    pytest.fail("no order stopped both rivals: the order of the tables does not matter")
