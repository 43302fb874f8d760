"""Cuts the events of one partition into episodes, by session.

Shape: rows of `events` in, rows of `episodes` out: one for every episode that closed
and one new revision of every open episode that was touched; with them the place of
every message, tool call and error, which a memory of it names. An episode is a
contiguous run of its session's records by offset, and every record but feedback is in
exactly one. The open episodes are all the state there is, and they are rows:
`Sessions.of` goes on from their newest revisions exactly.

Closed episodes need not be remembered. A session lives in one partition, its episodes
follow one another there without overlap, and every closed one has a row; so the one
before is the one with the next smaller `first_offset`, which the view `episodes` finds.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.episode import Episode
from operators.episodes.events import TOLD, Event, read
from schemas.arrow import EPISODE_REVISIONS, PLACES
from semloop.settings.memory_sections import EpisodeSettings, RewardSettings

US = 1_000_000
# What all rows of a partition have in common.
PARTITION = ("topic", "topic_id", "kafka_partition")

Row = dict[str, Any]
# A row of `PLACES`.
Place = tuple[int, str, int, str | None]

# What most looks at an idle partition give.
NO_EPISODES = EPISODE_REVISIONS.empty_table()
NO_PLACES = PLACES.empty_table()


@dataclass(frozen=True, slots=True)
class Fed:
    """What came of some events.

    `revisions` as `EPISODE_REVISIONS`: closed episodes in the order in which they
    closed, then the open ones that the events touched. `places` as `PLACES`: one row
    for each message, tool call and error, in order of offsets.
    """

    revisions: pa.Table
    places: pa.Table


class Sessions:
    """The open episodes of one partition.

    Args:
        settings: the gap and the bounds.
        rewards: the weights of the reward.
    """

    def __init__(
        self, settings: EpisodeSettings, rewards: RewardSettings | None = None
    ) -> None:
        self._settings = settings
        self._rewards = rewards or RewardSettings()
        self._gap_us = settings.session_gap_s * US
        self._age_us = settings.age_s * US
        # By session, the one longest untouched first.
        self._open: OrderedDict[str, Episode] = OrderedDict()
        self._partition: Row = {}
        self._last_offset = -1

    @classmethod
    def of(
        cls,
        rows: pa.Table,
        settings: EpisodeSettings,
        rewards: RewardSettings | None = None,
    ) -> Self:
        """Go on from a partition's open episodes, the newest revision of each."""
        sessions = cls(settings, rewards)
        if not rows.num_rows:
            return sessions
        assert pc.all(pc.equal(rows["state"], "open")).as_py()
        sessions._is_in(rows)
        for row in _plain(rows.sort_by("kafka_offset")).to_pylist():
            episode = Episode.of(row)
            assert episode.session_id not in sessions._open
            sessions._open[episode.session_id] = episode
        sessions._last_offset = pc.max(rows["kafka_offset"]).as_py()
        return sessions

    def __len__(self) -> int:
        """How many episodes are open."""
        return len(self._open)

    def feed(self, events: pa.Table) -> Fed:
        """Take the next rows of the partition, in order of offsets.

        Args:
            events: rows with the columns of `events`, beyond all that were fed before.
        """
        if not events.num_rows:
            return Fed(NO_EPISODES, NO_PLACES)
        self._is_in(events)
        self._follows(events)
        rows: list[Row] = []
        places: list[Place] = []
        touched: dict[str, None] = {}
        for event in read(events):
            session = event.session_id
            touched[session] = None
            self._take(event, rows, places)
        rows += [
            self._open[session].row(self._rewards)
            for session in touched
            if session in self._open
        ]
        return Fed(self._table(rows), _places(places))

    def close_inactive(self, caught_up_ms: float) -> pa.Table:
        """Close the episodes that have heard nothing for longer than the gap.

        Args:
            caught_up_ms: wall-clock milliseconds at which all records of the partition
                had been read, as `archive` says it; every row of that snapshot must
                have been fed. Infinite for a partition that gets no more records.

        Returns:
            `EPISODE_REVISIONS`: the episodes that closed.
        """
        idle = [
            session
            for session, episode in self._open.items()
            if caught_up_ms * 1_000 - _heard_us(episode) > self._gap_us
        ]
        closed = [self._closed(self._open.pop(session), "inactive") for session in idle]
        return self._table(closed)

    def _take(self, event: Event, rows: list[Row], places: list[Place]) -> None:
        episode = self._open.get(event.session_id)
        if episode is not None and (bound := self._broken_bound(episode, event)):
            rows.append(self._closed(episode, bound))
            episode = None
        if episode is None:
            where = self._partition
            topic_id, partition = where["topic_id"], where["kafka_partition"]
            episode = Episode.opened_by(event, topic_id, partition)
            self._open[event.session_id] = episode
        self._open.move_to_end(event.session_id)
        if event.type in TOLD:
            place = (
                event.kafka_offset,
                episode.episode_id,
                episode.told,
                episode.last_text,
            )
            places.append(place)
        episode.add(event)
        if event.type == "completion":
            del self._open[event.session_id]
            rows.append(self._closed(episode, "completion"))
        while len(self._open) > self._settings.open_episodes:
            _, longest_untouched = self._open.popitem(last=False)
            rows.append(self._closed(longest_untouched, "evicted"))

    def _broken_bound(self, episode: Episode, event: Event) -> str | None:
        """Which bound the episode would break with this event, if any.

        Time is measured from the latest event: one that is earlier than others before
        it, as in a file that runs backwards, is no pause.
        """
        ended_at = max(episode.ended_at, event.ts)
        if event.ts - episode.ended_at > self._gap_us:
            return "gap"
        if ended_at - min(episode.started_at, event.ts) > self._age_us:
            return "age"
        if episode.events >= self._settings.events:
            return "events"
        if episode.bytes + event.bytes > self._settings.bytes:
            return "bytes"
        return None

    def _closed(self, episode: Episode, closed_by: str) -> Row:
        return episode.row(self._rewards, closed_by)

    def _table(self, rows: list[Row]) -> pa.Table:
        if not rows:
            return NO_EPISODES
        rows = [row | self._partition for row in rows]
        return pa.Table.from_pylist(rows, EPISODE_REVISIONS)

    def _is_in(self, rows: pa.Table) -> None:
        """All rows are of one partition, and always of the same."""
        found = {name: rows[name][0].as_py() for name in PARTITION}
        for name, value in found.items():
            assert pc.all(pc.equal(rows[name], value)).as_py(), name
        assert self._partition in ({}, found)
        self._partition = found

    def _follows(self, events: pa.Table) -> None:
        """Offsets rise, within these rows and from call to call."""
        offsets = events["kafka_offset"].to_numpy()
        assert offsets[0] > self._last_offset
        assert (offsets[1:] > offsets[:-1]).all()
        self._last_offset = int(offsets[-1])


def _heard_us(episode: Episode) -> int:
    """When the last record came; its own time if the broker put none on it."""
    return episode.ended_at if episode.kafka_ts is None else episode.kafka_ts


def _places(places: list[Place]) -> pa.Table:
    columns = zip(*places, strict=True) if places else [()] * len(PLACES)
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, PLACES, strict=True)],
        schema=PLACES,
    )


def _plain(rows: pa.Table) -> pa.Table:
    """The rows with times as microseconds."""
    for place, column in enumerate(rows.schema):
        if pa.types.is_timestamp(column.type):
            rows = rows.set_column(
                place, column.name, rows[column.name].cast(pa.int64())
            )
    return rows
