"""Episodes and memories of events, as simple as the protocol of their tables allows.

Events with even and odd offsets are two sessions. An episode is closed by its third
event, or whenever the flow decides that its session is inactive, which may differ from
one attempt to the next.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

import pyarrow as pa

from schemas.arrow import EPISODE_REVISIONS
from schemas.arrow import memories as schema_of
from semloop.delta.streams import Partition
from tests.simulation.feed import events
from tests.simulation.rows import Revision
from tests.support.builders import NOW

SESSIONS = 2
EVENTS_MAX = 3
MODEL = ("simulated", 1)
SCHEMA = schema_of(MODEL[1], MODEL[0])
WITHOUT_WRITER = SCHEMA.remove(SCHEMA.get_field_index("writer"))


class NewMemory(NamedTuple):
    """A memory of an event, or of an episode, which has a number of `events`."""

    episode: Revision
    offset: int
    events: int = 0

    @property
    def id(self) -> bytes:
        return memory_id(self.episode, self.offset, is_episode=self.events > 0)


def memory_id(episode: Revision, offset: int, *, is_episode: bool) -> bytes:
    """Return the id of the memory of an event or an episode."""
    origin = f"{episode.topic_id}/{episode.partition}/{offset}"
    text = f"episode {episode.episode_id}" if is_episode else f"event {origin}"
    return blake2b(text.encode(), digest_size=16).digest()


class Assigned(NamedTuple):
    """What a poll has made."""

    memories: list[NewMemory]
    revisions: list[Revision]


class SimulatedSessions:
    """The open episode of each session, in place of `Sessions`."""

    def __init__(self, restored: Iterable[Revision] = ()) -> None:
        self._open = {_session(r): r for r in restored if not r.closed}

    def assign(
        self,
        positions: Mapping[Partition, int],
        read: Mapping[Partition, int],
        is_inactive: Callable[[], bool],
    ) -> Assigned:
        """Put the events between two positions into episodes."""
        changed: dict[str, Revision] = {}
        memories = []
        for (topic_id, number), position in positions.items():
            for offset in events(position + 1, read[topic_id, number]):  # type: ignore[index]
                new = Revision(topic_id, number, offset % SESSIONS, offset)
                episode = self._open.get(_session(new), new)
                episode = changed.get(episode.episode_id, episode)
                count = episode.events + 1
                episode = episode._replace(last=offset, events=count)
                memories.append(NewMemory(episode, offset))
                self._keep(episode, changed, closed=count == EVENTS_MAX)
        for episode in list(self._open.values()):
            if is_inactive():
                self._keep(episode, changed, closed=True)
        revisions = [r._replace(number=r.number + 1) for r in changed.values()]
        for each in revisions:
            if not each.closed:
                self._open[_session(each)] = each
        memories += [NewMemory(r, r.last, r.events) for r in revisions if r.closed]
        return Assigned(memories, revisions)

    def _keep(
        self, episode: Revision, changed: dict[str, Revision], *, closed: bool
    ) -> None:
        changed[episode.episode_id] = episode._replace(closed=closed)
        if closed:
            self._open.pop(_session(episode), None)
        else:
            self._open[_session(episode)] = episode


def _session(revision: Revision) -> tuple[int, int]:
    return revision.partition, revision.session


def memory_rows(memories: Iterable[NewMemory]) -> pa.Table:
    """Return memories as `schemas.arrow.memories`, without `writer`."""
    found = list(memories)
    columns: dict[str, list[Any]] = {
        "id": [m.id for m in found],
        "kind": ["episode" if m.events else "event" for m in found],
        "episode_id": [m.episode.episode_id for m in found],
        "seq": [m.events for m in found],
        "topic_id": [m.episode.topic_id for m in found],
        "kafka_partition": [m.episode.partition for m in found],
        "kafka_offset": [m.offset for m in found],
        "kafka_ts": [NOW] * len(found),
    }
    return _table(columns, len(found), WITHOUT_WRITER)


def revision_rows(revisions: Iterable[Revision]) -> pa.Table:
    """Return revisions as `EPISODE_REVISIONS`."""
    found = list(revisions)
    columns: dict[str, list[Any]] = {
        "episode_id": [r.episode_id for r in found],
        "revision": [r.number for r in found],
        "state": ["closed" if r.closed else "open" for r in found],
        "session_id": [str(r.session) for r in found],
        "first_offset": [r.first for r in found],
        "events": [r.events for r in found],
        "topic_id": [r.topic_id for r in found],
        "kafka_partition": [r.partition for r in found],
        "kafka_offset": [r.last for r in found],
        "kafka_ts": [NOW] * len(found),
        "archived_at": [NOW] * len(found),
    }
    return _table(columns, len(found), EPISODE_REVISIONS)


def _table(columns: Mapping[str, list[Any]], rows: int, schema: pa.Schema) -> pa.Table:
    """Return a table whose other columns are null; faster than `from_pylist`."""
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else _nulls(field.type, rows)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


@cache
def _nulls(kind: pa.DataType, rows: int) -> pa.Array:
    return pa.nulls(rows, kind)
