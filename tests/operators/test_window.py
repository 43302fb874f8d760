"""A poll of several partitions: each goes to its own sessions."""

from collections.abc import Mapping

import pyarrow as pa
import pytest

from operators.episodes.assign import window
from operators.episodes.sessions import Sessions
from schemas.arrow import EVENTS
from schemas.batches import PolledEvents, Progress
from semloop.delta.streams import Partition
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.a_stream import Row, a_stream, said

OLD, NEW = Partition("topic-1", 0), Partition("topic-2", 0)
OTHER = Partition("topic-2", 1)
ORIGINS: tuple[Partition, ...] = (OLD, NEW, OTHER)
# Long after all events.
LATER_MS = 10**13


def at(origin: Partition, *events: Row) -> pa.Table:
    topic_id, partition = origin
    where = {"topic_id": topic_id, "kafka_partition": partition}
    return a_stream(*(event | where for event in events))


@pytest.fixture
def sessions() -> dict[Partition, Sessions]:
    return {origin: Sessions(EpisodeSettings()) for origin in ORIGINS}


def polled(
    *tables: pa.Table,
    complete: bool = False,
    caught_up: Mapping[Partition, int | None] | None = None,
) -> PolledEvents:
    rows = pa.concat_tables([EVENTS.empty_table(), *tables])
    told = dict.fromkeys(ORIGINS) if caught_up is None else caught_up
    times = {origin: ms for origin, ms in told.items() if ms is not None}
    ends = dict.fromkeys(told, 10)
    progress = Progress({OLD: 9}, ends, times, complete=complete, last=True)
    return PolledEvents(rows, progress)


def closed(episodes: pa.Table) -> list[tuple[str, int, str]]:
    """(topic id, partition, why) of the episodes that closed."""
    return [
        (row["topic_id"], row["kafka_partition"], row["closed_by"])
        for row in episodes.to_pylist()
        if row["state"] == "closed"
    ]


def test_each_partition_has_sessions_of_its_own(
    sessions: dict[Partition, Sessions],
) -> None:
    """One session name in three logs, as after a topic was made again."""
    found = window(
        polled(
            at(OLD, said(text="one"), said("feedback"), said(text="two", at_s=1)),
            at(NEW, said("state_change"), said(text="three", at_s=2)),
            at(OTHER, said(text="four", at_s=3), said("completion", at_s=4)),
        ),
        sessions,
        frozenset(),
    )
    assert found.told["text"].to_pylist() == ["one", "two", "three", "four"]
    assert found.told["kafka_offset"].equals(found.places["kafka_offset"])
    assert found.places["seq"].to_pylist() == [0, 1, 0, 0]
    assert found.places["context"].to_pylist() == [None, "one", None, None]
    assert len(set(found.places["episode_id"].to_pylist())) == 3
    assert closed(found.episodes) == [(*OTHER, "completion")]
    assert [len(own) for own in sessions.values()] == [1, 1, 0]
    progress = found.progress
    assert (progress.positions, progress.last) == ({OLD: 9}, True)
    assert progress.ends[OTHER] == 10
    assert OTHER not in progress.caught_up_ms


@pytest.mark.parametrize("complete", [False, True])
def test_only_a_complete_snapshot_closes_what_is_silent(
    sessions: dict[Partition, Sessions], *, complete: bool
) -> None:
    rows = [at(origin, said()) for origin in ORIGINS]
    caught_up = {OLD: LATER_MS, NEW: None, OTHER: LATER_MS}
    found = window(
        polled(*rows, complete=complete, caught_up=caught_up), sessions, frozenset()
    )
    ended = [(*OLD, "inactive"), (*OTHER, "inactive")] if complete else []
    assert closed(found.episodes) == ended


def test_a_replaced_topic_closes_whenever_it_was_read(
    sessions: dict[Partition, Sessions],
) -> None:
    rows = [at(OLD, said()), at(NEW, said())]
    replaced = frozenset({"topic-1"})
    before = window(polled(*rows), sessions, replaced)
    assert closed(before.episodes) == []
    found = window(polled(complete=True), sessions, replaced)
    assert closed(found.episodes) == [(*OLD, "inactive")]
    assert len(sessions[OLD]) == 0


def test_a_tick_changes_nothing(sessions: dict[Partition, Sessions]) -> None:
    window(polled(at(OLD, said())), sessions, frozenset())
    for tick in (polled(complete=True), polled(), PolledEvents(EVENTS.empty_table())):
        found = window(tick, sessions, frozenset())
        tables = (found.told, found.places, found.episodes)
        assert [table.num_rows for table in tables] == [0, 0, 0]
    assert len(sessions[OLD]) == 1


def test_silence_is_measured_once_all_rows_of_the_snapshot_are_in(
    sessions: dict[Partition, Sessions],
) -> None:
    """The rows of a poll are fed before its partition's end closes anything."""
    last = at(OLD, said(), said(at_s=1, text="last"))
    found = window(
        polled(last, complete=True, caught_up={OLD: LATER_MS}), sessions, frozenset()
    )
    (episode,) = found.episodes.filter(
        pa.array([s == "closed" for s in found.episodes["state"].to_pylist()])
    ).to_pylist()
    assert (episode["events"], episode["kafka_offset"]) == (2, 1)
