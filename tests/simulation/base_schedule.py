"""A schedule of processes on a simulated lake; subclasses say of which flows."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from semloop import tables
from semloop.tables import LAYOUT_FILE
from sinks.delta.create_table import LOG_RETENTION, REMOVED_RETENTION
from sinks.flow_tables import FlowContext
from tests.simulation.archive import context_of
from tests.simulation.choices import Choices
from tests.simulation.delta_log import create_table
from tests.simulation.log_auditor import LogAuditor
from tests.simulation.maintenance import Maintenance
from tests.simulation.processes import Chances, Scheduler
from tests.simulation.rule import Rule
from tests.simulation.store import SimulatedObjects, SimulatedStorage

# A schedule ends after at most this many turns.
TURNS_MAX = 400
# The partitions of a writer; the last writer of a schedule has all of them.
OWNED = ([0, 1, 2], [0, 1], [1, 2])


@dataclass(frozen=True)
class Profile:
    """What is frequent in a schedule.

    `starts`: chance of the start of a process at each turn, by its name. `records`: of
    a partition. `requests_max`: the schedule ends after as many.
    """

    chances: Chances
    starts: Mapping[str, float]
    records: int = 8
    requests_max: int = 500


class Schedule(ABC):
    """The processes of a schedule, in the order in which choices start them."""

    # Tables that exist before the first process, and the writer of the main one.
    names: ClassVar[tuple[str, ...]]
    writer: ClassVar[str]
    profiles: ClassVar[tuple[Profile, ...]]

    auditor: LogAuditor

    def __init__(self, choices: Choices, rule: Rule) -> None:
        self.choices, self.rule = choices, rule
        self.profile = choices.one_of(self.profiles)
        self.scheduler = Scheduler(choices, self.profile.chances)
        self.store = SimulatedObjects(self.scheduler)
        self.storage = SimulatedStorage("s3://simulated/lake", simulated=self.store)

    @property
    def faults(self) -> list[str]:
        """What went wrong so far."""
        return self.auditor.faults + self.scheduler.errors

    def run(self) -> None:
        """Run the processes, and then a last writer to the end."""
        self._create_lake()
        self.prepare()
        scheduler = self.scheduler
        try:
            self._run_processes()
            scheduler.end()
            # Without rivals or faults, it commits the remaining records.
            self.choices.calm = True
            if not self.faults:
                self._start_writer()
                while scheduler.processes:
                    scheduler.run_one()
                self.auditor.check_end()
        finally:
            scheduler.end()

    @abstractmethod
    def prepare(self) -> None:
        """Write what is there before the first process."""

    @abstractmethod
    def write(self, context: FlowContext, owned: list[int]) -> None:
        """Run a writer of the main table to its end."""

    @abstractmethod
    def happen(self) -> None:
        """Perhaps change what the writers read."""

    def start(self, name: str) -> None:
        """Start a process other than a writer: a maintainer of the tables."""
        maintenance = Maintenance(
            self.context(), self.storage, self.auditor, self.choices
        )
        self.scheduler.start(name, getattr(maintenance, name))

    def context(self) -> FlowContext:
        """Return what a process needs."""
        return context_of(self.storage, self.scheduler, self.rule)

    def _run_processes(self) -> None:
        scheduler, choices = self.scheduler, self.choices
        for _ in range(TURNS_MAX):
            names = Counter(p.name for p in scheduler.processes)
            if self._wants_writer(names[self.writer]):
                self._start_writer()
            for name, chance in self.profile.starts.items():
                if choices.occurs(chance):
                    self.start(name)
                    scheduler.seen[f"starts of {name}"] += 1
            self.happen()
            scheduler.run_one()
            if self.faults or scheduler.steps > self.profile.requests_max:
                return

    def _wants_writer(self, running: int) -> bool:
        """Two at a time, sometimes three; few where nothing is left to read."""
        if running < 2 and not self.auditor.is_read():
            return True
        return running < 3 and self.choices.occurs(0.05)

    def _start_writer(self) -> None:
        context, owned = self.context(), list(self.choices.one_of(OWNED))
        self.scheduler.start(self.writer, lambda: self.write(context, owned))

    def _create_lake(self) -> None:
        layout = b'{"layout": %d}' % tables.LAYOUT_VERSION
        self.storage.put(LAYOUT_FILE, layout)
        for name in self.names:
            properties = {
                "delta.logRetentionDuration": LOG_RETENTION,
                **REMOVED_RETENTION,
            }
            partition_by = tables.TABLES[name].partition_by
            create_table(self.store, name, properties, partition_by)
