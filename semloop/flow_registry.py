"""The flows, and what each one reads and writes: data only."""

from typing import Literal, NamedTuple

Kind = Literal["streaming", "scheduled"]


class Flow(NamedTuple):
    """A flow by its name.

    Attributes:
        name: as in `semloop run NAME`, in app ids and in metrics.
        kind: whether it goes on until it is stopped, or ends when its work is done.
        reads: `kafka`, or the table whose new rows it reads.
        main: the table whose offsets say how far the flow is.
        sides: the tables that it commits before the main one.
        module: the module with `flow() -> Dataflow`.
    """

    name: str
    kind: Kind
    reads: str
    main: str
    sides: tuple[str, ...]
    module: str


ARCHIVE = Flow(
    "archive",
    "streaming",
    reads="kafka",
    main="events",
    sides=("dead_letters",),
    module="flows.archive",
)
MEMORY = Flow(
    "memory",
    "streaming",
    reads="events",
    main="episodes",
    sides=("memories",),
    module="flows.memory",
)
FLOWS = (ARCHIVE, MEMORY)


def flow_of(name: str) -> Flow:
    """The flow of a name; KeyError where there is none."""
    return {flow.name: flow for flow in FLOWS}[name]
