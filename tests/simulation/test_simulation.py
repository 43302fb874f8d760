"""The protocol of the tables holds in every schedule, and each rule of it is needed."""

from pathlib import Path

import pytest
import structlog

from tests.simulation.choices import Plan, shrink
from tests.simulation.rule import Rule
from tests.simulation.rules import RULES
from tests.simulation.schedule import Result, run_schedule

pytestmark = pytest.mark.slow

KEPT = [
    int(line.split()[0])
    for line in Path(__file__).with_name("seeds.txt").read_text().splitlines()
    if not line.startswith("#")
]
AT_A_TIME = 50
# A rule is broken in at most this many schedules, if its own one does not show it.
SCHEDULES_MAX = 60


@pytest.fixture(autouse=True)
def _silent() -> None:
    """Keep the log lines of thousands of commits out of the output."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


def check(seeds: range | list[int]) -> None:
    for seed in seeds:
        result = run_schedule(seed)
        assert not result.faults, (seed, result.faults[0], result.plan)


@pytest.mark.parametrize("first", range(0, 150, AT_A_TIME))
def test_no_record_is_lost_or_stored_twice(first: int) -> None:
    check(range(first, first + AT_A_TIME))


def test_schedules_that_found_something_stay_without_fault() -> None:
    check(KEPT)


@pytest.mark.storm
@pytest.mark.timeout(3_600)
def test_no_record_is_lost_or_stored_twice_in_many_more_schedules() -> None:
    check(range(100_000, 105_000))


def test_a_seed_determines_its_schedule() -> None:
    for seed in range(5):
        assert run_schedule(seed) == run_schedule(seed)


def test_the_choices_of_a_schedule_repeat_it() -> None:
    result = run_schedule(3)
    assert run_schedule(None, plan=result.plan) == result


def test_a_schedule_that_fails_shrinks() -> None:
    rule = next(rule for rule in RULES if rule.text.startswith("Side tables"))
    result = noticed(rule)

    def fails(plan: Plan) -> bool:
        return bool(run_schedule(None, rule, plan).faults)

    smaller = shrink(result.plan, fails, tries_max=12)
    assert len(smaller) < len(result.plan)
    assert fails(smaller)


@pytest.mark.parametrize(
    "rule", [r for r in RULES if r.seed is not None], ids=lambda rule: rule.text
)
def test_breaking_a_rule_is_noticed(rule: Rule) -> None:
    noticed(rule)


def noticed(rule: Rule) -> Result:
    """Return the first schedule from the rule's seed that shows that it is broken."""
    assert rule.seed is not None
    for seed in range(rule.seed, rule.seed + SCHEDULES_MAX):
        result = run_schedule(seed, rule)
        if result.faults:
            return result
    pytest.fail(f"{SCHEDULES_MAX} schedules did not notice: {rule.text}")
