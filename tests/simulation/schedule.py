"""One schedule: processes on a lake, what goes wrong, and what the auditor finds."""

import uuid
from collections import Counter
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import count
from unittest.mock import patch

import stamina

from sinks.delta.ownership import PendingCommit
from tests.simulation.archive_schedule import ArchiveSchedule
from tests.simulation.base_schedule import Schedule
from tests.simulation.choices import Choices, Plan
from tests.simulation.memory import PORTS
from tests.simulation.memory_schedule import MemorySchedule
from tests.simulation.rule import INTACT, Rule

ATTEMPTS = 20
FILES = vars(PendingCommit)["files"]
FLOWS: dict[str, type[Schedule]] = {
    "archive": ArchiveSchedule,
    "memory": MemorySchedule,
}


@dataclass(frozen=True)
class Result:
    """What a schedule has shown.

    `plan`: its choices; `seen`: how often what went wrong.
    """

    faults: tuple[str, ...]
    plan: Plan
    commits: int
    seen: Counter[str]


def run_schedule(
    seed: int | None, rule: Rule = INTACT, plan: Plan | None = None, flow: str = ""
) -> Result:
    """Run the schedule of a seed, or of a plan.

    `flow`: that of which the schedule is; by default that of the rule.
    """
    choices = Choices(seed, plan)
    ids = map(uuid.UUID, map("{:032x}".format, count()))
    with ExitStack() as stack:
        stack.enter_context(stamina.set_testing(True, attempts=ATTEMPTS))
        # NOTE: Before Python 3.12 a cached property has one lock for all instances, and
        # a process that was stopped inside would stop all others.
        stack.enter_context(patch.object(FILES, "lock", nullcontext(), create=True))
        # Files sort by names, which must be the same whenever the schedule runs.
        stack.enter_context(patch.object(uuid, "uuid4", lambda: next(ids)))
        for target, name, other in PORTS:
            stack.enter_context(patch.object(target, name, other))
        stack.enter_context(rule.broken())
        schedule = FLOWS[flow or rule.flow](choices, rule)
        schedule.run()
    seen, commits = schedule.scheduler.seen, schedule.auditor.commits
    return Result(tuple(schedule.faults), choices.made, commits, seen)
