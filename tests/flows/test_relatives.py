"""Where the closest relatives lose, double, skip or stall, seen by us.

Offset-carrying Kafka-to-Delta writers were run under these troubles; each test names
one that at least one of them does not survive.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from semloop.kafka.topic import Topic
from semloop.progress.positions import positions, stream_of
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests import processes
from tests.builders import an_event
from tests.flows.a_flow import a_flow, archived, once, produce, refused, stored
from tests.flows.test_topic_changes import made_again, trim

POISON = {**an_event(), "timestamp": "yesterday"}


def partitions(settings: Settings) -> dict[int, dict[str, Any]]:
    """What `status` says of each partition."""
    said = json.loads(processes.check(settings, "status", "--format", "json"))
    found = said["flows"]["archive"]["partitions"]
    return {place["partition"]: place for place in found}


def count(settings: Settings, table: str) -> int:
    from semloop.lake.lake import Lake

    with Lake(settings.lake) as lake:
        return int(lake.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def test_a_poison_record_stops_nobody_and_all_around_it_land(
    settings: Settings, topic: Topic
) -> None:
    events = [an_event() for _ in range(200)]
    sent = produce(settings, [*events[:100], POISON, *events[100:]])
    for _ in range(2):  # as it is, and from its offset again
        archived(settings)
        assert (count(settings, "events"), count(settings, "dead_letters")) == (200, 1)
    sent |= produce(settings, [an_event(), POISON, an_event()])
    archived(settings)
    assert stored(settings) == once({topic.topic_id: sent})


@pytest.mark.real_broker
def test_a_topic_made_again_is_not_skipped_up_to_the_old_offset(
    settings: Settings, topic: Topic
) -> None:
    before = produce(settings, 100, partition=0)
    archived(settings)
    new = made_again(settings)
    after = produce(settings, 150, partition=0)
    archived(settings)
    assert stored(settings) == once({topic.topic_id: before, new.topic_id: after})


@pytest.mark.real_broker
def test_a_gap_of_retention_is_never_passed_without_a_word(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 10, partition=0)
    archived(settings)
    produce(settings, 50, partition=0)
    trim(settings, 40)
    said = refused(settings)
    assert ": retention removed 30 offsets, starting at 10." in said[0]
    assert stored(settings).total() == 10


def test_a_bad_or_null_tail_of_a_partition_is_passed(
    settings: Settings, topic: Topic
) -> None:
    for partition, bad in enumerate((b"{not json", None, b"")):
        produce(settings, [an_event(), bad, bad, bad], partition=partition)
    produce(settings, [POISON], partition=3)
    archived(settings)
    found = {p: row["last_offset"] for p, row in partitions(settings).items()}
    assert found == {0: 3, 1: 3, 2: 3, 3: 0}
    assert {row["lag"] for row in partitions(settings).values()} == {0}


def test_a_dead_letter_is_written_once_across_a_kill_between_the_commits(
    settings: Settings, topic: Topic
) -> None:
    # A file where a day's folder of `events` should be: dead letters can be committed
    # and events cannot, until the flow is killed.
    today = datetime.now(UTC).date()
    days = [Path(settings.lake, f"events/date={today + timedelta(d)}") for d in (0, 1)]
    produce(settings, [None])
    with a_flow(settings) as flow:
        flow.wait_until_logged("committed")
        for day in days:
            day.touch()
        sent = produce(settings, [an_event(), POISON, an_event()])
        flow.wait_for("the dead letter", lambda: count(settings, "dead_letters") == 1)
    assert count(settings, "events") == 0
    for day in days:
        day.unlink()
    archived(settings)
    assert stored(settings) == once({topic.topic_id: sent})
    assert count(settings, "dead_letters") == 1


def test_a_burst_into_an_idle_topic_is_not_a_commit_per_row(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 1)
    with a_flow(settings) as flow:
        flow.wait_until_stored(1)
        before = len(flow.logged("committed"))
        for _ in range(2):
            rows = flow.rows()
            for partition in range(4):
                produce(settings, 50, partition=partition)
            flow.wait_until_stored(rows + 200)
        commits = [line["events"] for line in flow.logged("committed")[before:]]
    commits = [rows for rows in commits if rows]
    assert sum(commits) == 400
    # Each partition of a burst may fall into a commit of its own, its rows do not.
    assert len(commits) <= 2 * 4, commits


def test_idle_partitions_advance_with_the_busy_one(
    settings: Settings, topic: Topic
) -> None:
    def caught_up() -> dict[int, int]:
        found = positions(Storage.of(settings), stream_of(topic), topic.partitions)
        return {p: at.caught_up_ms or 0 for p, at in found.items()}

    with a_flow(settings, SEMLOOP_IDLE_COMMIT_S="0.5") as flow:
        produce(settings, 3, partition=2)
        flow.wait_until_stored(3)
        flow.wait_for("all ends", lambda: all(caught_up().values()))
        first = caught_up()
        flow.wait_for(
            "later ones", lambda: all(caught_up()[p] > first[p] for p in first)
        )
    assert {row["lag"] for row in partitions(settings).values()} == {0}
