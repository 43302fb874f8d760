"""Positions of events in known episodes, equal to those that `Sessions` returned.

Input: events of one partition in order of offsets, with their episodes. Output:
`EPISODE_POSITIONS`. The state is the episodes in progress.
"""

from typing import NamedTuple

import pyarrow as pa

from operators.episodes.events import both_ends
from schemas.arrow import EPISODE_POSITIONS


class EpisodeProgress(NamedTuple):
    """An episode up to its last counted event.

    `memorable_count`: number of events counted. `last_text`, `last_user`: text and user
    of the last of them. `end`: offset of the episode's last record; None while the
    episode is open.
    """

    memorable_count: int = 0
    last_text: str | None = None
    last_user: str | None = None
    end: int | None = None


class PositionCounter:
    """Counts the messages, tool calls and errors of each episode in progress."""

    def __init__(self) -> None:
        self._in_progress: dict[str, EpisodeProgress] = {}

    def __len__(self) -> int:
        """Return the number of episodes in progress."""
        return len(self._in_progress)

    def episode_positions(self, memorable: pa.Table, placed: pa.Table) -> pa.Table:
        """Return the positions of the next events.

        Args:
            memorable: rows with the columns of `events`, beyond all earlier ones.
            placed: for each of them `episode_id`, and `last_offset` and `closed` of the
                episode.
        """
        rows = zip(
            memorable["kafka_offset"].to_pylist(),
            both_ends(memorable["text"].combine_chunks()).to_pylist(),
            memorable["user_id"].to_pylist(),
            placed["episode_id"].to_pylist(),
            placed["last_offset"].to_pylist(),
            placed["closed"].to_pylist(),
            strict=True,
        )
        found = []
        for offset, text, user, episode_id, last_offset, closed in rows:
            before = self._in_progress.get(episode_id, EpisodeProgress())
            count = before.memorable_count
            found.append(
                (offset, episode_id, count, before.last_text, before.last_user)
            )
            end = last_offset if closed else None
            self._in_progress[episode_id] = EpisodeProgress(count + 1, text, user, end)
        if found:
            self._drop_ended(found[-1][0])
        columns = zip(*found, strict=True) if found else [()] * len(EPISODE_POSITIONS)
        return pa.table(
            [
                pa.array(c, f.type)
                for c, f in zip(columns, EPISODE_POSITIONS, strict=True)
            ],
            schema=EPISODE_POSITIONS,
        )

    def _drop_ended(self, offset: int) -> None:
        """Drop by offset: the completion that ends an episode is not counted here."""
        self._in_progress = {
            episode_id: progress
            for episode_id, progress in self._in_progress.items()
            if progress.end is None or progress.end > offset
        }
