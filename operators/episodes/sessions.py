"""Groups the events of one partition into episodes, by namespace and session.

Input: rows of `events`. Output: rows of `episodes`, one for each closed episode and one
new revision of each open episode that changed; and the position of each message, tool
call and error, which is stored in its memory. A session is a pair of namespace and
session id. An episode is a contiguous range, by offset, of its session's records; every
record is in exactly one, except feedback and starts of calls. The state is the open
episodes: `Sessions.of` restores it from their newest revisions.

Episodes are a function of records and settings, even if clocks are off. A pause is a
difference of times of one producer; silence is one of times of `archive`. A producer
delivers a record within `delivery_max_s`, so a record after silence comes after a
pause, too: it opens an episode whether or not `close_inactive` had closed the one
before. An eviction of a silent session changes as little, and it is the first to go.

Closed episodes are not part of the state. The episodes of a session are in one
partition and do not overlap, and every closed one has a row; so the previous one has
the next smaller `first_offset`, by which the view `episodes` finds it.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.episode import Episode
from operators.episodes.events import MEMORABLE, Event, read
from operators.episodes.open_episodes import OpenEpisodes, SessionKey, key_of
from schemas.arrow import EPISODE_POSITIONS, EPISODE_REVISIONS
from semloop.settings.memory_sections import EpisodeSettings, RewardSettings

US = 1_000_000
# Columns with the same value in all rows of a partition.
PARTITION = ("topic", "topic_id", "kafka_partition")

Row = dict[str, Any]
# A row of `EPISODE_POSITIONS`.
EpisodePosition = tuple[int, str, int, str | None, str | None]

# Reused: most polls of an idle partition return these.
NO_EPISODES = EPISODE_REVISIONS.empty_table()
NO_POSITIONS = EPISODE_POSITIONS.empty_table()


@dataclass(frozen=True, slots=True)
class FeedResult:
    """The result of `Sessions.feed`.

    `revisions` as `EPISODE_REVISIONS`: closed episodes in the order in which they
    closed, then the open ones that changed. `episode_positions` as `EPISODE_POSITIONS`:
    one row for each message, tool call and error, in order of offsets. `closed_early`:
    number of episodes that inactivity closed although they continue: a producer held
    a record for longer than `delivery_max_s`, or clocks differ within a session.
    """

    revisions: pa.Table
    episode_positions: pa.Table
    closed_early: int = 0


class Silent(NamedTuple):
    """The latest times of an episode that inactivity has closed, in us of UTC."""

    ended_at: int
    latest_kafka_ts: int


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
        self._silence_us = (settings.session_gap_s + settings.delivery_max_s) * US
        self._age_us = settings.age_s * US
        self._open = OpenEpisodes()
        # No open episode has an earlier `archived_at`, so most calls of
        # `close_inactive` need not look at each of thousands of episodes.
        self._archived_since = -math.inf
        # Sessions whose last episode inactivity closed, to count those that
        # continue; at most as many as may be open.
        self._silent: OrderedDict[SessionKey, Silent] = OrderedDict()
        self._closed_early = 0
        self._partition: Row = {}
        self._last_offset = -1

    @classmethod
    def of(
        cls,
        rows: pa.Table,
        settings: EpisodeSettings,
        rewards: RewardSettings | None = None,
        *,
        earlier_events: bool = False,
    ) -> Self:
        """Restore from rows of a partition.

        Args:
            rows: the newest revision of each open episode; of sessions whose last one
                was closed by inactivity, its origin, session, state and times.
            settings: the gap and the bounds.
            rewards: the weights of the reward.
            earlier_events: True if events of other sessions come before the last of
                these rows.
        """
        sessions = cls(settings, rewards)
        if not rows.num_rows:
            return sessions
        assert len(pc.unique(rows["episode_id"])) == rows.num_rows
        sessions._check_partition(rows)
        for row in _with_integer_times(rows.sort_by("kafka_offset")).to_pylist():
            if row["state"] == "open":
                sessions._open.add(Episode.of(row))
            else:
                assert row["closed_by"] == "inactive"
                sessions._keep_silent((row["namespace"], row["session_id"]), row)
        if not earlier_events:
            sessions._last_offset = pc.max(rows["kafka_offset"]).as_py()
        return sessions

    def __len__(self) -> int:
        """Return the number of open episodes."""
        return len(self._open)

    def feed(self, events: pa.Table) -> FeedResult:
        """Add the next rows of the partition, in order of offsets.

        Args:
            events: rows with the columns of `events`, beyond all earlier ones.
        """
        if not events.num_rows:
            return FeedResult(NO_EPISODES, NO_POSITIONS)
        self._check_partition(events)
        self._check_order(events)
        rows: list[Row] = []
        positions: list[EpisodePosition] = []
        self._closed_early = 0
        updated: dict[SessionKey, None] = {}
        for event in read(events):
            updated[key_of(event)] = None
            self._add(event, rows, positions)
        rows += [
            episode.row(self._rewards)
            for session in updated
            if (episode := self._open.get(session))
        ]
        positions_table = _positions(positions)
        return FeedResult(self._table(rows), positions_table, self._closed_early)

    def close_inactive(self, caught_up_ms: float) -> pa.Table:
        """Close the episodes of sessions that are silent: no record can continue them.

        That is so once `archive` has read no record of the session for longer than the
        gap and the time that a producer may take to deliver one.

        Args:
            caught_up_ms: when `archive` had read all records of the partition, in
                milliseconds by its own clock; every row of that snapshot must have been
                fed. Infinite for a partition that receives no more records.

        Returns:
            the closed episodes, as `EPISODE_REVISIONS`.
        """
        until = caught_up_ms * 1_000 - self._silence_us
        if until <= self._archived_since:
            return NO_EPISODES
        silent = [episode for episode in self._open if episode.archived_at < until]
        closed = [episode.row(self._rewards, "inactive") for episode in silent]
        for episode, row in zip(silent, closed, strict=True):
            self._open.remove(episode)
            self._keep_silent(key_of(episode), row)
        self._archived_since = min((e.archived_at for e in self._open), default=until)
        return self._table(closed)

    def _add(
        self, event: Event, rows: list[Row], positions: list[EpisodePosition]
    ) -> None:
        session = key_of(event)
        silent = self._silent.pop(session, None)
        if silent is not None and not self._is_pause(silent, event):
            self._closed_early += 1
        episode = self._open.get(session)
        if episode is not None and (bound := self._exceeded_bound(episode, event)):
            rows.append(episode.row(self._rewards, bound))
            self._open.remove(episode)
            episode = None
        if episode is None:
            topic_id = self._partition["topic_id"]
            partition = self._partition["kafka_partition"]
            episode = Episode.opened_by(event, topic_id, partition)
            self._open.add(episode)
        self._open.touch(episode)
        if event.type in MEMORABLE:
            position = (
                event.kafka_offset,
                episode.episode_id,
                episode.memorable_count,
                episode.last_text,
                episode.last_user,
            )
            positions.append(position)
        episode.add(event)
        self._archived_since = min(self._archived_since, episode.archived_at)
        if event.type == "completion":
            self._open.remove(episode)
            rows.append(episode.row(self._rewards, "completion"))
        for evicted in self._open.evict(event.namespace, self._settings):
            rows.append(evicted.row(self._rewards, "evicted"))

    def _exceeded_bound(self, episode: Episode, event: Event) -> str | None:
        """Return the bound that the episode would exceed with this event, if any."""
        ended_at = max(episode.ended_at, event.ts)
        if self._is_pause(episode, event):
            return "gap"
        if ended_at - min(episode.started_at, event.ts) > self._age_us:
            return "age"
        if episode.events >= self._settings.events:
            return "events"
        if episode.bytes + event.bytes > self._settings.bytes:
            return "bytes"
        return None

    def _is_pause(self, before: "Episode | Silent", event: Event) -> bool:
        """Return True if the event comes more than the gap after the ones before it.

        By its own time, or by Kafka's: that of an event from a spool or an import is
        the time of sending. Measured from the latest times: an event with an earlier
        one, as in a file in reverse order, is not a pause.
        """
        return (
            event.ts - before.ended_at > self._gap_us
            or event.received_at - before.latest_kafka_ts > self._gap_us
        )

    def _keep_silent(self, session: SessionKey, row: Row) -> None:
        self._silent[session] = Silent(row["ended_at"], row["latest_kafka_ts"])
        if len(self._silent) > self._settings.open_episodes_total:
            self._silent.popitem(last=False)

    def _table(self, rows: list[Row]) -> pa.Table:
        if not rows:
            return NO_EPISODES
        rows = [row | self._partition for row in rows]
        return pa.Table.from_pylist(rows, EPISODE_REVISIONS)

    def _check_partition(self, rows: pa.Table) -> None:
        """Check that all rows are of the partition of the first call."""
        found = {name: rows[name][0].as_py() for name in PARTITION}
        for name, value in found.items():
            assert pc.all(pc.equal(rows[name], value)).as_py(), name
        assert self._partition in ({}, found)
        self._partition = found

    def _check_order(self, events: pa.Table) -> None:
        """Check that offsets increase, within these rows and from call to call."""
        offsets = events["kafka_offset"].to_numpy()
        assert offsets[0] > self._last_offset
        assert (offsets[1:] > offsets[:-1]).all()
        self._last_offset = int(offsets[-1])


def _positions(positions: list[EpisodePosition]) -> pa.Table:
    columns = (
        zip(*positions, strict=True) if positions else [()] * len(EPISODE_POSITIONS)
    )
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, EPISODE_POSITIONS, strict=True)],
        schema=EPISODE_POSITIONS,
    )


def _with_integer_times(rows: pa.Table) -> pa.Table:
    """Convert timestamps to microseconds."""
    for index, column in enumerate(rows.schema):
        if pa.types.is_timestamp(column.type):
            rows = rows.set_column(
                index, column.name, rows[column.name].cast(pa.int64())
            )
    return rows
