"""The flows, and what each one reads and writes: data only.

The commands iterate over these lists, so they run, start, stop, monitor and check a
flow that is added here like the others.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["streaming", "scheduled"]
KAFKA = "kafka"


@dataclass(frozen=True)
class Flow:
    """The declaration of one flow.

    Attributes:
        name: as in `semloop run NAME`, in app ids and in metrics.
        kind: `streaming` runs until it is stopped; `scheduled` ends when its work is
            done.
        reads: `kafka`, or the table whose rows it reads.
        main: the table that stores the flow's offsets; for a scheduled flow the table
            that it changes.
        sides: the tables that it commits before the main one.
        module: the module with `flow() -> Dataflow` and `build`.
        flags: parameters of `build` that are flags of `semloop run`, in addition to
            `until_caught_up`; each applies to one run only.
        every: the setting with the seconds between two runs by `semloop up`; empty: the
            flow is only run by hand.
        quiet: flags with which `semloop up` runs it, so that its log stays short.
    """

    name: str
    kind: Kind
    reads: str
    main: str
    module: str
    sides: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    every: str = ""
    quiet: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The consumer group in which a flow that reads Kafka shows its offsets."""
        return f"semloop-{self.name}"

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments of `semloop` that run the flow."""
        return ("run" if self.kind == "streaming" else "maintain", self.name)


ARCHIVE = Flow(
    "archive",
    "streaming",
    reads=KAFKA,
    main="events",
    sides=("dead_letters",),
    module="flows.archive",
    flags=("new_log", "accept_gap", "accept_dead_letters"),
)
MEMORY = Flow(
    "memory",
    "streaming",
    reads="events",
    main="episodes",
    sides=("memories",),
    module="flows.memory",
)
METRICS = Flow(
    "metrics",
    "streaming",
    reads="events",
    main="agent_metrics",
    module="flows.metrics",
)
INDEX = Flow(
    "index",
    "scheduled",
    reads="memories",
    main="memories",
    module="flows.index",
    every="index_every_s",
)
REINDEX = Flow(
    "reindex",
    "scheduled",
    reads="events",
    main="episodes",
    sides=("memories",),
    module="flows.reindex",
)
REBUILD = Flow(
    "rebuild",
    "scheduled",
    reads="events",
    main="episodes",
    sides=("memories",),
    module="flows.rebuild",
)
COMPACT = Flow(
    "compact",
    "scheduled",
    reads="events",
    main="events",
    sides=("dead_letters", "episodes", "agent_metrics"),
    module="flows.compact",
    every="compact_every_s",
    quiet=("--quiet",),
)
RETAIN = Flow(
    "retain",
    "scheduled",
    reads="events",
    main="events",
    sides=("dead_letters", "episodes", "agent_metrics", "memories"),
    module="flows.retain",
    every="retain_every_s",
    quiet=("--quiet",),
)
VACUUM = Flow(
    "vacuum",
    "scheduled",
    reads="events",
    main="events",
    sides=("dead_letters", "episodes", "agent_metrics", "streams"),
    module="flows.vacuum",
    every="vacuum_every_s",
    quiet=("--quiet",),
)
# Scheduled flows in the order in which `maintain all` runs them.
_ALL = (ARCHIVE, MEMORY, METRICS, COMPACT, RETAIN, VACUUM, INDEX, REINDEX, REBUILD)
FLOWS = {flow.name: flow for flow in _ALL}
STREAMING = {name: flow for name, flow in FLOWS.items() if flow.kind == "streaming"}
# Flows that read what another flow has committed.
LAKE_READERS = {name: flow for name, flow in STREAMING.items() if flow.reads != KAFKA}
# Flows that `semloop up` runs periodically.
SCHEDULED = {name: flow for name, flow in FLOWS.items() if flow.every}
