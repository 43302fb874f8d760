"""The flows, and what each one reads and writes: data only.

The command loops over these lists, so a flow that is added here is run, started,
stopped, watched and checked like the others.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["streaming", "scheduled"]
KAFKA = "kafka"


@dataclass(frozen=True)
class Flow:
    """A flow by its name.

    Attributes:
        name: as in `semloop run NAME`, in app ids and in metrics.
        kind: whether it goes on until it is stopped, or ends when its work is done.
        reads: `kafka`, or the table whose rows it reads.
        main: the table whose offsets say how far the flow is; for a scheduled flow the
            table that it changes.
        sides: the tables that it commits before the main one.
        module: the module with `flow() -> Dataflow` and `build`.
        flags: parameters of `build` that are flags of `semloop run`, beside
            `until_caught_up`; each accepts something once.
        every: the setting with the seconds between two runs by `semloop up`; empty: a
            person runs it.
    """

    name: str
    kind: Kind
    reads: str
    main: str
    module: str
    sides: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    every: str = ""

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments of `semloop` that run it."""
        return ("run" if self.kind == "streaming" else "maintain", self.name)


ARCHIVE = Flow(
    "archive",
    "streaming",
    reads=KAFKA,
    main="events",
    sides=("dead_letters",),
    module="flows.archive",
    flags=("new_log", "accept_gap"),
)
MEMORY = Flow(
    "memory",
    "streaming",
    reads="events",
    main="episodes",
    sides=("memories",),
    module="flows.memory",
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
FLOWS = {flow.name: flow for flow in (ARCHIVE, MEMORY, INDEX, REINDEX)}
STREAMING = {name: flow for name, flow in FLOWS.items() if flow.kind == "streaming"}
# Those that follow what another flow has committed.
LAKE_READERS = {name: flow for name, flow in STREAMING.items() if flow.reads != KAFKA}
# Those that `semloop up` runs now and then.
SCHEDULED = {name: flow for name, flow in FLOWS.items() if flow.every}
