"""State of a new generation of memories, shared by its reader and its writer."""

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
        reached: partition -> last offset whose event it contains.
        episode_ids: the closed episodes that it contains.
        rounds: number of rounds written.
        switched: True once it is the current generation.
    """

    generation: int
    reached: Mapping[Partition, int]
    episode_ids: set[str] = field(default_factory=set)
    rounds: int = 0
    switched: bool = False
