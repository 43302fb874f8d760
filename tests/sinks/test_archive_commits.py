"""When `ArchiveTables` commits, waits, reopens its tables or stops."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.batches import Progress
from semloop.delta.streams import CAUGHT_UP
from semloop.errors import BrokerUnavailable, TakenOver, TopicChanged
from tests.sinks.archive_builder import Archive
from tests.support.builders import LOG, decoded_rows, keyed

NO_ANSWER = BrokerUnavailable("no broker", "start one")


def test_it_commits_when_enough_rows_are_buffered(tmp_path: Path) -> None:
    archive = Archive(tmp_path, commit_rows=3).started()
    archive.poll(0, 1)
    assert archive.stored() == []
    archive.poll(0, partition=1)
    assert archive.stored() == [(0, 0), (0, 1), (1, 0)]
    assert archive.committed_offsets == [{0: 1, 1: 0}]


def test_it_commits_when_enough_bytes_are_buffered(tmp_path: Path) -> None:
    one = decoded_rows([(0, 0)], [], {0: 0}).events.nbytes
    archive = Archive(tmp_path, commit_bytes=2 * one).started()
    archive.poll(0)
    assert archive.stored() == []
    archive.poll(1)
    assert archive.stored() == [(0, 0), (0, 1)]


def test_it_commits_when_the_first_row_has_waited_for_the_interval(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path, commit_interval_s=2.0).started()
    archive.tick(1.0)
    archive.poll(0)
    archive.now += 1.5
    archive.poll(1)
    assert archive.stored() == []
    archive.tick(0.5)
    assert archive.stored() == [(0, 0), (0, 1)]


def test_the_first_row_after_a_commit_waits_for_its_own_interval(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path, commit_interval_s=2.0).started()
    archive.poll(0)
    archive.tick(2.0)
    archive.now += 5.0
    archive.poll(1)
    assert archive.stored() == [(0, 0)]
    archive.tick(2.0)
    assert archive.stored() == [(0, 0), (0, 1)]


def test_it_commits_without_waiting_when_it_has_read_the_backlog(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path).started()

    def end(partition: int) -> None:
        at_end = Progress(caught_up_ms=keyed({partition: 1}))
        archive.loop.add(replace(decoded_rows([], [], {}), progress=at_end))

    archive.poll(0, 1)
    end(0)
    assert archive.stored() == []
    end(1)
    assert archive.stored() == [(0, 0), (0, 1)]
    archive.poll(2)
    end(0)
    assert archive.stored() == [(0, 0), (0, 1)]


def test_it_commits_positions_without_rows(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    archive.loop.add(decoded_rows([], [], {1: 41}))
    archive.tick(1.0)
    assert archive.committed_offsets == [{0: -1, 1: 41}]
    assert archive.stored() == []


def test_it_commits_the_buffer_with_the_last_item(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    archive.poll(0)
    archive.poll(last=True)
    assert archive.stored() == [(0, 0)]


def test_an_idle_flow_commits_caught_up_ms_at_an_interval(tmp_path: Path) -> None:
    archive = Archive(tmp_path, idle_commit_s=300.0).started()
    before = archive.version()
    idle = Progress(caught_up_ms=keyed({0: 1_700_000_000_123}))
    archive.loop.add(replace(decoded_rows([], [], {}), progress=idle))
    archive.tick(299.0)
    assert archive.version() == before
    archive.tick(1.0)
    assert archive.version() == before + 1
    archive.tick(299.0)
    archive.tick(1.0)
    assert archive.version() == before + 2
    stored = archive.storage.open("events").transaction_version
    assert stored(LOG.app_id("events", 0) + CAUGHT_UP) == 1_700_000_000_123
    assert stored(LOG.app_id("events", 1) + CAUGHT_UP) is None


def test_it_does_not_commit_while_the_broker_does_not_answer(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    archive.broker_errors = [NO_ANSWER] * 2
    archive.poll(0)
    for _ in range(2):
        archive.tick(1.0)
        assert archive.stored() == []
    archive.tick(1.0)
    assert archive.stored() == [(0, 0)]


def test_a_full_buffer_waits_for_the_brokers_answer(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path, commit_rows=1).started()
    archive.broker_errors = [NO_ANSWER] * 3
    archive.poll(0)
    assert (archive.broker_errors, archive.stored()) == ([], [(0, 0)])
    assert archive.waits == [1.0] * 3


def poll_and_wait(archive: Archive) -> None:
    archive.poll(0)
    archive.tick(1.0)


@pytest.mark.parametrize("last", [True, False], ids=["at the end", "at a tick"])
def test_a_changed_topic_is_reported_before_a_commit(
    tmp_path: Path, last: bool
) -> None:
    archive = Archive(tmp_path).started()
    before = archive.version()
    archive.broker_errors = [TopicChanged("made again", "start again")]
    with pytest.raises(TopicChanged):
        archive.poll(0, last=last) if last else poll_and_wait(archive)
    assert (archive.version(), archive.stored()) == (before, [])


def test_an_idle_writer_detects_that_it_was_taken_over(tmp_path: Path) -> None:
    older = Archive(tmp_path, fence_check_s=5.0).started()
    Archive(tmp_path).started()
    older.tick(4.0)
    with pytest.raises(TakenOver):
        older.tick(1.0)


def test_an_idle_writer_detects_that_its_topic_changed(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    archive.broker_errors = [NO_ANSWER, TopicChanged("made again", "start again")]
    archive.tick(5.0)
    with pytest.raises(TopicChanged):
        archive.tick(5.0)


def test_tables_are_reopened_after_reopen_commits(tmp_path: Path) -> None:
    archive = Archive(tmp_path, reopen_commits=3).started()
    ages = []
    for offset in range(7):
        archive.poll(offset, last=True)
        ages.append(archive.events.commits_since_open)
    assert ages == [1, 2, 0, 1, 2, 0, 1]
    assert archive.stored() == [(0, offset) for offset in range(7)]


def test_tables_are_reopened_after_reopen_s(tmp_path: Path) -> None:
    archive = Archive(tmp_path, reopen_s=60.0).started()
    ages = []
    for offset in range(5):
        archive.now += 25.0
        archive.poll(offset, last=True)
        ages.append(archive.events.commits_since_open)
    assert ages == [1, 2, 0, 1, 2]
