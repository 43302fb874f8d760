"""Where events are in episodes that are known already, as `Sessions` said it once.

Shape: events of one origin in order of offsets, with their episodes, in; `PLACES` out.
What is remembered are the episodes that may go on.
"""

import pyarrow as pa

from operators.episode_events import both_ends
from schemas.arrow import PLACES


class Replay:
    """Counts the messages, tool calls and errors of each episode under way."""

    def __init__(self) -> None:
        # Of each episode: how many came so far, and what the last one said.
        self._under_way: dict[str, tuple[int, str | None]] = {}

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
            count, said = self._under_way.pop(episode_id, (0, None))
            found.append((offset, episode_id, count, said))
            if not (closed and offset >= last_offset):
                self._under_way[episode_id] = (count + 1, text)
        columns = zip(*found, strict=True) if found else [()] * len(PLACES)
        return pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, PLACES, strict=True)],
            schema=PLACES,
        )
