"""How far a new generation of memories is: what its reader and its writer share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from semloop.delta.streams import Partition


@dataclass
class Filling:
    """A generation of memories that is being filled, in rounds.

    The writer sets `rounds` and `switched`; the reader of the same worker, which runs
    in the same thread, waits for them at the end of each round.

    Attributes:
        generation: its number.
        reached: partition -> last offset whose event is in it.
        episode_ids: the closed episodes that are in it.
        rounds: how many rounds have been written.
        switched: whether it is the one that everybody uses by now.
    """

    generation: int
    reached: Mapping[Partition, int]
    episode_ids: set[str] = field(default_factory=set)
    rounds: int = 0
    switched: bool = False
