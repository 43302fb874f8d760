"""Assignment of a poll of several partitions, each to its own sessions."""

from collections.abc import Mapping

import pyarrow as pa
import pytest

from operators.episodes.assign import assign_episodes
from operators.episodes.sessions import Sessions
from schemas.arrow import EVENTS
from schemas.batches import PolledEvents, Progress
from semloop.delta.streams import Partition
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import Row, event_row, events_table

OLD, NEW = Partition("topic-1", 0), Partition("topic-2", 0)
OTHER = Partition("topic-2", 1)
PARTITIONS: tuple[Partition, ...] = (OLD, NEW, OTHER)
# Long after all events.
LATER_MS = 10**13


def at(partition: Partition, *events: Row) -> pa.Table:
    topic_id, number = partition
    where = {"topic_id": topic_id, "kafka_partition": number}
    return events_table(*(event | where for event in events))


@pytest.fixture
def sessions() -> dict[Partition, Sessions]:
    return {partition: Sessions(EpisodeSettings()) for partition in PARTITIONS}


def polled(
    *tables: pa.Table,
    complete: bool = False,
    caught_up: Mapping[Partition, int | None] | None = None,
) -> PolledEvents:
    rows = pa.concat_tables([EVENTS.empty_table(), *tables])
    times = dict.fromkeys(PARTITIONS) if caught_up is None else caught_up
    caught_up_ms = {partition: ms for partition, ms in times.items() if ms is not None}
    ends = dict.fromkeys(times, 10)
    progress = Progress({OLD: 9}, ends, caught_up_ms, complete=complete, last=True)
    return PolledEvents(rows, progress)


def closed(episodes: pa.Table) -> list[tuple[str, int, str]]:
    """Return (topic id, partition, reason) of the closed episodes."""
    return [
        (row["topic_id"], row["kafka_partition"], row["closed_by"])
        for row in episodes.to_pylist()
        if row["state"] == "closed"
    ]


def test_each_partition_has_sessions_of_its_own(
    sessions: dict[Partition, Sessions],
) -> None:
    """The same session id in three partitions, as after a topic was recreated."""
    found = assign_episodes(
        polled(
            at(
                OLD,
                event_row(text="one"),
                event_row("feedback"),
                event_row(text="two", at_s=1),
            ),
            at(NEW, event_row("state_change"), event_row(text="three", at_s=2)),
            at(OTHER, event_row(text="four", at_s=3), event_row("completion", at_s=4)),
        ),
        sessions,
        frozenset(),
    )
    assert found.memorable["text"].to_pylist() == ["one", "two", "three", "four"]
    assert found.memorable["kafka_offset"].equals(
        found.episode_positions["kafka_offset"]
    )
    assert found.episode_positions["seq"].to_pylist() == [0, 1, 0, 0]
    assert found.episode_positions["context"].to_pylist() == [None, "one", None, None]
    assert len(set(found.episode_positions["episode_id"].to_pylist())) == 3
    assert closed(found.episodes) == [(*OTHER, "completion")]
    assert [len(own) for own in sessions.values()] == [1, 1, 0]
    progress = found.progress
    assert (progress.positions, progress.last) == ({OLD: 9}, True)
    assert progress.ends[OTHER] == 10
    assert OTHER not in progress.caught_up_ms


@pytest.mark.parametrize("complete", [False, True])
def test_only_a_complete_snapshot_closes_inactive_episodes(
    sessions: dict[Partition, Sessions], *, complete: bool
) -> None:
    rows = [at(partition, event_row()) for partition in PARTITIONS]
    caught_up = {OLD: LATER_MS, NEW: None, OTHER: LATER_MS}
    found = assign_episodes(
        polled(*rows, complete=complete, caught_up=caught_up), sessions, frozenset()
    )
    expected = [(*OLD, "inactive"), (*OTHER, "inactive")] if complete else []
    assert closed(found.episodes) == expected


def test_events_that_continue_a_closed_episode_are_counted(
    sessions: dict[Partition, Sessions],
) -> None:
    first = [at(partition, event_row()) for partition in PARTITIONS]
    caught_up = dict.fromkeys(PARTITIONS, LATER_MS)
    poll = polled(*first, complete=True, caught_up=caught_up)
    assert assign_episodes(poll, sessions, frozenset()).closed_early == 0
    event = event_row(at_s=1, kafka_offset=1)
    later = [at(partition, event) for partition in (NEW, OTHER)]
    found = assign_episodes(polled(*later), sessions, frozenset())
    assert found.closed_early == 2


def test_episodes_of_a_replaced_topic_close_without_a_time(
    sessions: dict[Partition, Sessions],
) -> None:
    rows = [at(OLD, event_row()), at(NEW, event_row())]
    replaced = frozenset({"topic-1"})
    before = assign_episodes(polled(*rows), sessions, replaced)
    assert closed(before.episodes) == []
    found = assign_episodes(polled(complete=True), sessions, replaced)
    assert closed(found.episodes) == [(*OLD, "inactive")]
    assert len(sessions[OLD]) == 0


def test_a_poll_without_rows_changes_nothing(
    sessions: dict[Partition, Sessions],
) -> None:
    assign_episodes(polled(at(OLD, event_row())), sessions, frozenset())
    for poll in (polled(complete=True), polled(), PolledEvents(EVENTS.empty_table())):
        found = assign_episodes(poll, sessions, frozenset())
        tables = (found.memorable, found.episode_positions, found.episodes)
        assert [table.num_rows for table in tables] == [0, 0, 0]
    assert len(sessions[OLD]) == 1


def test_inactivity_is_measured_after_all_rows_of_the_snapshot_are_fed(
    sessions: dict[Partition, Sessions],
) -> None:
    """The rows of a poll are fed before inactive episodes are closed."""
    last = at(OLD, event_row(), event_row(at_s=1, text="last"))
    found = assign_episodes(
        polled(last, complete=True, caught_up={OLD: LATER_MS}), sessions, frozenset()
    )
    (episode,) = found.episodes.filter(
        pa.array([s == "closed" for s in found.episodes["state"].to_pylist()])
    ).to_pylist()
    assert (episode["events"], episode["kafka_offset"]) == (2, 1)
