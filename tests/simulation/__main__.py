"""Run simulated schedules: `python -m tests.simulation --schedules N --seed S`.

Each seed is a schedule of `archive` and one of `memory`, unless `--flow` names one.
With `--rules`, each rule of the protocol is broken, and the schedules are counted until
one shows it.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median

import structlog

from tests.simulation.choices import Plan, shrink
from tests.simulation.rule import Rule
from tests.simulation.rules import RULES
from tests.simulation.schedule import FLOWS, run_schedule

PROGRESS_EVERY = 100
# How often each rule is to be found broken.
TIMES = 5


def main() -> int:
    """Run the command; the exit code is 1 if a schedule has failed."""
    parser = argparse.ArgumentParser("tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule")
    parser.add_argument("--flow", choices=FLOWS, help="by default all")
    parser.add_argument("--rules", action="store_true", help="break each rule")
    given = parser.parse_args()
    # Rows that are refused and writers that are taken over are what happens here.
    level = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=level)
    seeds = range(given.seed, given.seed + given.schedules)
    flows = [given.flow] if given.flow else list(FLOWS)
    if given.rules:
        for rule in (rule for rule in RULES if rule.flow in flows):
            _say(f"| {rule.text} | {_until_noticed(rule, seeds)} |")
        return 0
    return _run([(seed, flow) for seed in seeds for flow in flows])


def _run(schedules: Sequence[tuple[int, str]]) -> int:
    seen: Counter[str] = Counter()
    commits, failed, started_s = 0, 0, time.process_time()
    for done, (seed, flow) in enumerate(schedules, start=1):
        result = run_schedule(seed, flow=flow)
        seen += result.seen
        commits += result.commits
        if result.faults:
            failed += 1
            _say(f"seed {seed} of {flow}: {result.faults[0]}")
            smallest = _smallest(result.plan, result.faults[0], flow)
            _say(f"  smallest plan: {smallest}")
        if done % PROGRESS_EVERY == 0 or done == len(schedules):
            seconds = (time.process_time() - started_s) / done
            counts = f"{commits:,} commits, {failed} failed, {seconds:.3f} CPU-s each"
            _say(f"{done:,} schedules, {counts}")
    _say(", ".join(f"{count:,} {what}" for what, count in sorted(seen.items())))
    return int(failed > 0)


def _smallest(plan: Plan, fault: str, flow: str) -> Plan:
    """Leave choices out of a plan, as long as it fails in the same way."""
    kind = fault.partition(":")[0]

    def fails(candidate: Plan) -> bool:
        faults = run_schedule(None, plan=candidate, flow=flow).faults
        return any(found.startswith(kind) for found in faults)

    return shrink(plan, fails)


def _until_noticed(rule: Rule, seeds: range) -> str:
    """Return how many schedules it takes, as the median of some times; the first one.

    If fewer notice it than wanted, all schedules per notice.
    """
    found: list[int] = []
    counts: list[int] = []
    for seed in seeds:
        if run_schedule(seed, rule).faults:
            counts.append(seed - (found[-1] if found else seeds.start - 1))
            found.append(seed)
            if len(found) == TIMES:
                break
    if not found:
        return f"none of {len(seeds)} | "
    every = median(counts) if len(found) == TIMES else len(seeds) // len(found)
    return f"{every:g} | {found[0]}"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
