"""The real sink under crashes, rivals and lost replies, interleaved step by step.

In every schedule of `storm_schedule.py`, each record must be in exactly one table,
once. Another test breaks each rule of the protocol, and some schedule must detect it: a
test that cannot fail proves nothing.
"""

import itertools
from pathlib import Path
from typing import Any

import pytest

from sinks.delta.takeover import Takeover
from tests.sinks.broken_rules import (
    FollowsBlindly,
    OnlyMoved,
    RetriesBlindly,
    SideFirst,
    SideUnfenced,
    WithoutEpochs,
    forget_dead_letters,
)
from tests.sinks.storm_schedule import Storm, Writer

pytestmark = [pytest.mark.usefixtures("fast_retries"), pytest.mark.slow]


def check(storm: Storm) -> None:
    storm.run()
    assert not storm.excluded, dict(storm.seen)
    assert storm.audit() == (0, 0), dict(storm.seen)


@pytest.mark.parametrize("seed", range(3))
def test_every_record_is_stored_once_despite_faults(tmp_path: Path, seed: int) -> None:
    check(Storm(tmp_path, seed))


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


BROKEN: dict[str, dict[str, Any]] = {
    "epochs are not increased": {"takeover_class": WithoutEpochs},
    "side table is not fenced": {"wrap_log": SideUnfenced},
    "commits carry only moved partitions": {"wrap_log": OnlyMoved},
    "new entries are not read": {"wrap_log": FollowsBlindly},
    "failed commits are retried without a check": {"wrap_log": RetriesBlindly},
    "dead letters are forgotten": {"after_resume": staticmethod(forget_dead_letters)},
}


# The quickest schedule that detects the violation. Another one is searched for if a
# change of the sink makes it miss.
FIRST_SEED = {
    "epochs are not increased": 12,
    "side table is not fenced": 2,
    "commits carry only moved partitions": 16,
    "new entries are not read": 7,
    "failed commits are retried without a check": 2,
    "dead letters are forgotten": 10,
}


@pytest.mark.parametrize("rule", BROKEN)
def test_breaking_a_rule_is_detected(tmp_path: Path, rule: str) -> None:
    broken = type("BrokenStorm", (Storm,), BROKEN[rule])
    first = FIRST_SEED[rule]
    for seed in range(first, first + 40):
        storm = broken(tmp_path / str(seed), seed)
        storm.run()
        if storm.excluded or storm.audit() != (0, 0):
            return
    pytest.fail(f"40 schedules detected no fault although {rule}")
