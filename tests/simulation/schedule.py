"""One schedule: processes on a lake, what goes wrong, and what the auditor finds."""

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from unittest.mock import patch

import stamina

from semloop import tables
from semloop.layout import LAYOUT_FILE
from sinks.delta.create_table import LOG_RETENTION, REMOVED_RETENTION
from sinks.delta.ownership import PendingCommit
from sinks.delta.streams_table import register
from tests.simulation.archive import PARTITIONS, Broker, context_of, run_archive
from tests.simulation.auditor import TABLES, Auditor
from tests.simulation.choices import Choices, Plan
from tests.simulation.delta_log import create_table
from tests.simulation.maintenance import Maintenance
from tests.simulation.processes import Chances, Scheduler
from tests.simulation.rule import INTACT, Rule
from tests.simulation.store import SimulatedObjects, SimulatedStorage
from tests.support.builders import NOW

RECORDS = 12
OWNED = ([0, 1, 2], [0, 1], [1, 2])
# A schedule ends after at most this many turns and requests.
TURNS_MAX, STEPS_MAX = 400, 900
ATTEMPTS = 20


@dataclass(frozen=True)
class Profile:
    """What is frequent in a schedule.

    `starts`: chance of the start of a process at each turn, by its name.
    """

    chances: Chances
    starts: Mapping[str, float]


# Writers that overtake each other; and days of maintenance.
PROFILES = (
    Profile(
        Chances(),
        {"compact": 0.03, "retain": 0.005, "vacuum": 0.01, "checkpoint": 0.02},
    ),
    Profile(
        Chances(switch=0.08, kill=0.003, pass_hours=0.02, freeze=0.08),
        {"compact": 0.1, "retain": 0.05, "vacuum": 0.15, "checkpoint": 0.05},
    ),
)
FILES = vars(PendingCommit)["files"]


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
    seed: int | None, rule: Rule = INTACT, plan: Plan | None = None
) -> Result:
    """Run the schedule of a seed, or of a plan."""
    # NOTE: Before Python 3.12 a cached property has one lock for all instances, and a
    # process that was stopped inside would stop all others.
    unlocked = patch.object(FILES, "lock", nullcontext(), create=True)
    with stamina.set_testing(True, attempts=ATTEMPTS), unlocked, rule.broken():
        return _Schedule(Choices(seed, plan), rule).run()


class _Schedule:
    def __init__(self, choices: Choices, rule: Rule) -> None:
        self._choices, self._rule = choices, rule
        self._profile = choices.one_of(PROFILES)
        self._scheduler = Scheduler(choices, self._profile.chances)
        self._store = SimulatedObjects(self._scheduler)
        self._storage = SimulatedStorage("s3://simulated/lake", simulated=self._store)
        self._broker = Broker(RECORDS)
        self._auditor = Auditor(self._store, self._scheduler, self._broker)
        self._archives = 0

    def run(self) -> Result:
        self._create_lake()
        self._make_topic()
        scheduler = self._scheduler
        try:
            self._run_processes()
            scheduler.end()
            # A last writer, without rivals or faults, commits the remaining records.
            self._choices.calm = True
            if not self._faults:
                self._start_archive()
                while scheduler.processes:
                    scheduler.run_one()
                self._auditor.check_end()
        finally:
            scheduler.end()
        return Result(
            tuple(self._faults),
            self._choices.made,
            self._auditor.commits,
            scheduler.seen,
        )

    def _run_processes(self) -> None:
        scheduler, choices = self._scheduler, self._choices
        for _ in range(TURNS_MAX):
            names = Counter(p.name for p in scheduler.processes)
            if names["archive"] < 2 or (names["archive"] < 3 and choices.occurs(0.05)):
                self._start_archive()
            for name, chance in self._profile.starts.items():
                if choices.occurs(chance):
                    self._start_maintenance(name)
            if choices.occurs(0.005):
                self._make_topic()
                scheduler.seen["topics made again"] += 1
            scheduler.run_one()
            if self._faults or scheduler.steps > STEPS_MAX:
                return

    def _start_archive(self) -> None:
        choices, rule, broker = self._choices, self._rule, self._broker
        context = context_of(self._storage, self._scheduler, rule)
        owned = list(choices.one_of(OWNED))
        self._scheduler.start(
            "archive",
            lambda: run_archive(context, broker, owned, choices, rule),
        )

    def _start_maintenance(self, name: str) -> None:
        """Start a maintainer of the tables."""
        context = context_of(self._storage, self._scheduler, self._rule)
        maintenance = Maintenance(context, self._storage, self._auditor, self._choices)
        self._scheduler.start(name, getattr(maintenance, name))
        self._scheduler.seen[f"starts of {name}"] += 1

    def _make_topic(self) -> None:
        """Make the topic, perhaps again; its rows of `streams` are already there."""
        self._broker.make_topic()
        stream = self._broker.stream()
        register(self._storage, stream, TABLES, PARTITIONS, NOW)

    @property
    def _faults(self) -> list[str]:
        return self._auditor.faults + self._scheduler.errors

    def _create_lake(self) -> None:
        layout = b'{"layout": %d}' % tables.LAYOUT_VERSION
        self._store.put(LAYOUT_FILE, layout)
        for name in ("streams", "events", "dead_letters"):
            properties = {
                "delta.logRetentionDuration": LOG_RETENTION,
                **REMOVED_RETENTION,
            }
            partition_by = tables.TABLES[name].partition_by
            create_table(self._store, name, properties, partition_by)
