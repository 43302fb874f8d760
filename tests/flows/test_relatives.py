"""Failures of other Kafka-to-Delta writers that `archive` must survive.

We ran writers that also store offsets in their tables under these faults; in each test
at least one of them lost, duplicated or skipped records, or stalled.
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
from tests.flows.flow_runner import (
    each_once,
    produce,
    run_archive,
    run_failing_archive,
    running_flow,
    stored_origins,
)
from tests.flows.topics import recreate_topic, trim
from tests.support.builders import an_event
from tests.support.commands import run_command

POISON = {**an_event(), "timestamp": "yesterday"}


def partitions(settings: Settings) -> dict[int, dict[str, Any]]:
    """Return the `status` of each partition."""
    status = json.loads(run_command(settings, "status", "--format", "json"))
    rows = status["flows"]["archive"]["partitions"]
    return {row["partition"]: row for row in rows}


def count(settings: Settings, table: str) -> int:
    from semloop.lake.lake import Lake

    with Lake(settings.lake) as lake:
        return int(lake.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def test_archive_stores_all_records_around_a_poison_record(
    settings: Settings, topic: Topic
) -> None:
    events = [an_event() for _ in range(200)]
    sent = produce(settings, [*events[:100], POISON, *events[100:]])
    for _ in range(2):  # a first start, then a restart
        run_archive(settings)
        assert (count(settings, "events"), count(settings, "dead_letters")) == (200, 1)
    sent |= produce(settings, [an_event(), POISON, an_event()])
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: sent})


@pytest.mark.real_broker
def test_archive_does_not_skip_a_recreated_topic_up_to_the_old_offset(
    settings: Settings, topic: Topic
) -> None:
    before = produce(settings, 100, partition=0)
    run_archive(settings)
    new = recreate_topic(settings)
    after = produce(settings, 150, partition=0)
    run_archive(settings)
    assert stored_origins(settings) == each_once(
        {topic.topic_id: before, new.topic_id: after}
    )


@pytest.mark.real_broker
def test_archive_never_skips_a_retention_gap_silently(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 10, partition=0)
    run_archive(settings)
    produce(settings, 50, partition=0)
    trim(settings, 40)
    messages = run_failing_archive(settings)
    assert ": retention removed 30 offsets, starting at 10." in messages[0]
    assert stored_origins(settings).total() == 10


def test_archive_advances_past_invalid_or_null_records_at_the_end_of_a_partition(
    settings: Settings, topic: Topic
) -> None:
    for partition, bad in enumerate((b"{not json", None, b"")):
        produce(settings, [an_event(), bad, bad, bad], partition=partition)
    produce(settings, [POISON], partition=3)
    run_archive(settings)
    offsets = {p: row["last_offset"] for p, row in partitions(settings).items()}
    assert offsets == {0: 3, 1: 3, 2: 3, 3: 0}
    assert {row["lag"] for row in partitions(settings).values()} == {0}


def test_dead_letter_is_stored_once_despite_a_kill_before_the_events_commit(
    settings: Settings, topic: Topic
) -> None:
    # Files in place of the day folders of `events` make commits of events fail, while
    # commits of dead letters succeed.
    today = datetime.now(UTC).date()
    days = [Path(settings.lake, f"events/date={today + timedelta(d)}") for d in (0, 1)]
    produce(settings, [None])
    with running_flow(settings) as flow:
        flow.wait_until_logged("committed")
        for day in days:
            day.touch()
        sent = produce(settings, [an_event(), POISON, an_event()])
        flow.wait_for("the dead letter", lambda: count(settings, "dead_letters") == 1)
    assert count(settings, "events") == 0
    for day in days:
        day.unlink()
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: sent})
    assert count(settings, "dead_letters") == 1


def test_burst_into_an_idle_topic_does_not_cause_a_commit_per_row(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 1)
    with running_flow(settings) as flow:
        flow.wait_until_stored(1)
        before = len(flow.logged("committed"))
        for _ in range(2):
            rows = flow.committed_rows()
            for partition in range(4):
                produce(settings, 50, partition=partition)
            flow.wait_until_stored(rows + 200)
        commits = [line["events"] for line in flow.logged("committed")[before:]]
    commits = [rows for rows in commits if rows]
    assert sum(commits) == 400
    # Each partition of a burst may get its own commit, but not each row.
    assert len(commits) <= 2 * 4, commits


def test_caught_up_time_of_idle_partitions_advances_with_the_busy_one(
    settings: Settings, topic: Topic
) -> None:
    def caught_up() -> dict[int, int]:
        by_partition = positions(
            Storage.of(settings), stream_of(topic), topic.partitions
        )
        return {p: at.caught_up_ms or 0 for p, at in by_partition.items()}

    with running_flow(settings, SEMLOOP_IDLE_COMMIT_S="0.5") as flow:
        produce(settings, 3, partition=2)
        flow.wait_until_stored(3)
        flow.wait_for("the end of every partition", lambda: all(caught_up().values()))
        first = caught_up()
        flow.wait_for(
            "a later time in every partition",
            lambda: all(caught_up()[p] > first[p] for p in first),
        )
    assert {row["lag"] for row in partitions(settings).values()} == {0}
