"""Where events are in episodes that are known already, as `Sessions` said it once.

Shape: events of one origin in order of offsets, with their episodes, in; `PLACES` out.
What is remembered are the episodes that may go on.
"""

from typing import NamedTuple

import pyarrow as pa

from operators.episodes.events import both_ends
from schemas.arrow import PLACES


class UnderWay(NamedTuple):
    """An episode up to its last event that came.

    `told`: how many came. `said`: the text of the last one. `end`: offset of the
    episode's last record; None while the episode is open.
    """

    told: int = 0
    said: str | None = None
    end: int | None = None


class Replay:
    """Counts the messages, tool calls and errors of each episode under way."""

    def __init__(self) -> None:
        self._under_way: dict[str, UnderWay] = {}

    def __len__(self) -> int:
        """How many episodes are under way."""
        return len(self._under_way)

    def places(self, told: pa.Table, placed: pa.Table) -> pa.Table:
        """The places of the next events.

        Args:
            told: rows with the columns of `events`, beyond all that came before.
            placed: for each of them `episode_id`, and `last_offset` and `closed` of the
                episode.
        """
        rows = zip(
            told["kafka_offset"].to_pylist(),
            both_ends(told["text"].combine_chunks()).to_pylist(),
            placed["episode_id"].to_pylist(),
            placed["last_offset"].to_pylist(),
            placed["closed"].to_pylist(),
            strict=True,
        )
        found = []
        for offset, text, episode_id, last_offset, closed in rows:
            before = self._under_way.get(episode_id, UnderWay())
            found.append((offset, episode_id, before.told, before.said))
            end = last_offset if closed else None
            self._under_way[episode_id] = UnderWay(before.told + 1, text, end)
        if found:
            self._forget(found[-1][0])
        columns = zip(*found, strict=True) if found else [()] * len(PLACES)
        return pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, PLACES, strict=True)],
            schema=PLACES,
        )

    def _forget(self, offset: int) -> None:
        """Most end with a completion, which is none of these events."""
        self._under_way = {
            episode_id: under_way
            for episode_id, under_way in self._under_way.items()
            if under_way.end is None or under_way.end > offset
        }
