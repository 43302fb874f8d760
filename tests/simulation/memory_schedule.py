"""Schedules of `memory` and `rebuild`, and of the maintenance of `episodes`."""

from sinks.delta.streams_table import register
from sinks.flow_tables import FlowContext
from tests.simulation.archive import PARTITIONS
from tests.simulation.base_schedule import Profile, Schedule
from tests.simulation.choices import Choices
from tests.simulation.feed import ARCHIVED, REMEMBERED, Feed
from tests.simulation.memory import MemoryFlow
from tests.simulation.memory_auditor import EPISODES, MemoryAuditor
from tests.simulation.processes import Chances
from tests.simulation.rule import Rule
from tests.support.builders import NOW


class MemorySchedule(Schedule):
    """Writers of `episodes` and memories, rebuilds, and maintainers of `episodes`."""

    names = ("streams", "events", EPISODES)
    writer = "memory"
    # Writers that overtake each other; rebuilds; and days of maintenance.
    profiles = (
        Profile(
            Chances(),
            {"compact": 0.03, "vacuum": 0.01, "checkpoint": 0.02, "rebuild": 0.003},
        ),
        Profile(
            Chances(kill=0.003),
            {"compact": 0.01, "vacuum": 0.005, "checkpoint": 0.005, "rebuild": 0.03},
        ),
        Profile(
            Chances(switch=0.08, kill=0.003, pass_hours=0.02, freeze=0.08),
            {"compact": 0.1, "vacuum": 0.1, "checkpoint": 0.05, "rebuild": 0.02},
        ),
    )

    def __init__(self, choices: Choices, rule: Rule) -> None:
        super().__init__(choices, rule)
        self._feed = Feed(self.store, self.profile.records)
        self.auditor = MemoryAuditor(self.store, self.scheduler, self._feed)

    def prepare(self) -> None:
        register(self.storage, ARCHIVED, ("events",), PARTITIONS, NOW)
        register(self.storage, REMEMBERED, (EPISODES,), PARTITIONS, NOW)
        for partition in PARTITIONS:
            self._feed.append(partition, 2)

    def write(self, context: FlowContext, owned: list[int]) -> None:
        self._flow(context).remember(owned)

    def happen(self) -> None:
        if self.choices.occurs(0.1):
            partition = self.choices.one_of(PARTITIONS)
            self._feed.append(partition, self.choices.one_of((1, 2, 3)))

    def start(self, name: str) -> None:
        if name == "rebuild":
            self.scheduler.start(name, self._flow(self.context()).rebuild)
        else:
            super().start(name)

    def _flow(self, context: FlowContext) -> MemoryFlow:
        return MemoryFlow(context, self.storage, self.choices)
