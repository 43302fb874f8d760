"""The protocol of the tables holds in every schedule, and each rule of it is needed.

A run has 1,000 schedules: of `archive`, and of `memory` and `rebuild`.
"""

from pathlib import Path

import pytest
import structlog

from tests.simulation.choices import Plan, shrink
from tests.simulation.rule import Rule
from tests.simulation.rules import RULES
from tests.simulation.schedule import FLOWS, Result, run_schedule

pytestmark = pytest.mark.slow

KEPT = [
    int(line.split()[0])
    for line in Path(__file__).with_name("seeds.txt").read_text().splitlines()
    if not line.startswith("#")
]
AT_A_TIME = 50
# A rule is broken in at most this many schedules, if its own one does not show it.
SCHEDULES_MAX = 8


@pytest.fixture(autouse=True)
def _silent() -> None:
    """Keep the log lines of thousands of commits out of the output."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


def check(flow: str, seeds: range | list[int]) -> None:
    for seed in seeds:
        result = run_schedule(seed, flow=flow)
        assert not result.faults, (seed, result.faults[0], result.plan)


@pytest.mark.parametrize("first", range(0, 500, AT_A_TIME))
@pytest.mark.parametrize("flow", FLOWS)
def test_no_record_is_lost_or_stored_twice(flow: str, first: int) -> None:
    check(flow, range(first, first + AT_A_TIME))


@pytest.mark.parametrize("flow", FLOWS)
def test_schedules_that_found_something_stay_without_fault(flow: str) -> None:
    check(flow, KEPT)


@pytest.mark.storm
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("flow", FLOWS)
def test_no_record_is_lost_or_stored_twice_in_many_more_schedules(flow: str) -> None:
    check(flow, range(100_000, 102_500))


@pytest.mark.parametrize("flow", FLOWS)
def test_a_seed_determines_its_schedule(flow: str) -> None:
    for seed in range(5):
        assert run_schedule(seed, flow=flow) == run_schedule(seed, flow=flow)


@pytest.mark.parametrize("flow", FLOWS)
def test_the_choices_of_a_schedule_repeat_it(flow: str) -> None:
    result = run_schedule(3, flow=flow)
    assert run_schedule(None, plan=result.plan, flow=flow) == result


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
