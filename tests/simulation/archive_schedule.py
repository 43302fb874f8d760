"""Schedules of `archive`, and of the maintenance of its tables."""

from sinks.delta.streams_table import register
from sinks.flow_tables import FlowContext
from tests.simulation.archive import PARTITIONS, Broker, run_archive
from tests.simulation.auditor import TABLES, Auditor
from tests.simulation.base_schedule import Profile, Schedule
from tests.simulation.choices import Choices
from tests.simulation.processes import Chances
from tests.simulation.rule import Rule
from tests.support.builders import NOW


class ArchiveSchedule(Schedule):
    """Writers of `events` and `dead_letters`, and maintainers of both."""

    names = ("streams", *TABLES)
    writer = "archive"
    # Writers that overtake each other; and days of maintenance.
    profiles = (
        Profile(
            Chances(),
            {"compact": 0.03, "retain": 0.005, "vacuum": 0.01, "checkpoint": 0.02},
        ),
        Profile(
            Chances(switch=0.08, kill=0.003, pass_hours=0.02, freeze=0.08),
            {"compact": 0.1, "retain": 0.05, "vacuum": 0.15, "checkpoint": 0.05},
            records=12,
            requests_max=900,
        ),
    )

    def __init__(self, choices: Choices, rule: Rule) -> None:
        super().__init__(choices, rule)
        self._broker = Broker(self.profile.records)
        self.auditor = Auditor(self.store, self.scheduler, self._broker)

    def prepare(self) -> None:
        self._make_topic()

    def write(self, context: FlowContext, owned: list[int]) -> None:
        run_archive(context, self._broker, owned, self.choices, self.rule)

    def happen(self) -> None:
        if self.choices.occurs(0.005):
            self._make_topic()
            self.scheduler.seen["topics made again"] += 1

    def _make_topic(self) -> None:
        """Make the topic, perhaps again; its rows of `streams` are already there."""
        self._broker.make_topic()
        register(self.storage, self._broker.stream(), TABLES, PARTITIONS, NOW)
