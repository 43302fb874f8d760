"""Which rows `ArchiveTables` leaves out, the logs it accepts, and what it reports."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import Progress
from schemas.dead_letter import Reason
from semloop.delta.streams import Partition, StreamId
from semloop.errors import LakeError
from semloop.lake.lake import Lake
from semloop.progress.activity import files_of, read_flow, recent_by_agent
from tests.sinks.archive_builder import IDS, Archive, Crash, named
from tests.support.builders import LOG, NOW, decoded_rows, keyed
from tests.support.examples import examples


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


def test_a_record_with_a_dead_letter_keeps_it_when_a_re_read_judges_it_valid(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path).started()
    archive.budget.left = 1
    with pytest.raises(Crash):
        archive.loop.add(
            decoded_rows([(0, 0)], [(0, 1), (1, 0)], {0: 1, 1: 0}, last=True)
        )
    assert (archive.stored(), archive.stored("dead_letters")) == ([], [(0, 1), (1, 0)])
    again = Archive(tmp_path)
    assert again.tables.take_over() == keyed({0: -1, 1: -1})
    # Now one of them is judged an event, and another record gets a dead letter.
    again.loop.add(
        decoded_rows([(0, 0), (0, 1)], [(1, 0), (0, 2)], {0: 2, 1: 0}, last=True)
    )
    assert again.stored() == [(0, 0)]
    assert again.stored("dead_letters") == [(0, 1), (0, 2), (1, 0)]
    assert Archive(tmp_path).tables.take_over() == keyed({0: 2, 1: 0})


@pytest.mark.parametrize("apart", [True, False], ids=["in two commits", "in one"])
@pytest.mark.parametrize("table", ["events", "dead_letters"])
def test_redelivered_records_are_stored_once(
    tmp_path: Path, table: str, apart: bool
) -> None:
    archive = Archive(tmp_path).started()
    for start in (0, 2):
        at = [(0, start), (0, start + 1)]
        good, dead = (at, []) if table == "events" else ([], at)
        rows = named(decoded_rows(good, dead, {0: start + 1}, last=apart), *IDS[:2])
        archive.loop.add(rows)
    archive.poll(last=True)
    assert archive.stored(table) == [(0, 0), (0, 1)]
    assert archive.committed_offsets[-1][0] == 3


def test_a_redelivered_record_does_not_affect_other_rows_of_its_poll(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path).started()
    at = [(0, 0), (1, 0), (0, 1)]
    rows = named(decoded_rows(at, [], {0: 1, 1: 0}), IDS[0], IDS[0], IDS[1])
    archive.loop.add(replace(rows, redelivered_ids=frozenset({IDS[1]})))
    archive.poll(last=True)
    assert archive.stored() == [(0, 0), (0, 1), (1, 0)]


def test_the_origin_of_a_rejected_dead_letter_is_stored(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    archive.letters.refused = frozenset({(0, 1)})
    archive.letters.accepts_rows_without_content = True
    at = [(0, 0), (0, 1), (0, 2), (1, 0)]
    archive.loop.add(decoded_rows([], at, {0: 2, 1: 0}, last=True))
    assert archive.stored("dead_letters") == [(0, 0), (0, 1), (0, 2), (1, 0)]
    with Lake(tmp_path) as lake:
        rejected = lake.sql("FROM dead_letters WHERE reason = 'unstorable'").fetchall()
    assert len(rejected) == 1


def test_only_ids_of_redelivered_records_are_deduplicated(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    for offset in range(2):
        rows = decoded_rows([(0, offset)], [], {0: offset}, last=True)
        archive.loop.add(named(rows, IDS[0], redelivered=False))
    assert archive.stored() == [(0, 0), (0, 1)]


# (partition, whether the table rejects it) of consecutive records.
RECORDS = st.lists(st.tuples(st.sampled_from([0, 1]), st.booleans()), max_size=9)


@pytest.mark.slow
@examples(8)
@given(RECORDS, st.none() | st.integers(0, 6))
def test_rejected_rows_become_dead_letters_and_all_others_are_stored(
    records: list[tuple[int, bool]], commits: int | None
) -> None:
    ends: Counter[int] = Counter({0: 0, 1: 0})
    good: list[tuple[int, int]] = []
    bad: list[tuple[int, int]] = []
    for partition, rejected in records:
        (bad if rejected else good).append((partition, ends[partition]))
        ends[partition] += 1
    with tempfile.TemporaryDirectory() as folder:
        # The first process crashes after some commits, or not; the second one resumes.
        for budget in (commits, None):
            archive = Archive(Path(folder))
            taken = archive.tables.take_over()
            read = {p.number: offset for p, offset in taken.items()}
            archive.events.refused = frozenset(bad)
            archive.budget.left = budget
            unread = [(p, o) for p, o in good + bad if o > read[p]]
            positions = {p: end - 1 for p, end in ends.items()}
            with suppress(Crash):
                archive.loop.add(decoded_rows(unread, [], positions, last=True))
        assert archive.stored() == sorted(good)
        assert archive.stored("dead_letters") == sorted(bad)
        assert archive.committed_offsets == [positions]


def test_the_dead_letter_of_a_rejected_row_contains_its_event(
    tmp_path: Path, log_lines: list[Any]
) -> None:
    archive = Archive(tmp_path).started()
    archive.tables.report_activity(0, [Partition(LOG.topic_id, 0)])
    archive.events.refused = frozenset({(0, 1)})
    rows = named(decoded_rows([(0, 0), (0, 1)], [], {0: 1}, last=True), *IDS[:2])
    archive.loop.add(rows)
    (counts,) = recent_by_agent(
        read_flow(archive.storage, files_of("archive", archive.tables.settings.topic)),
        int(archive.now * 1_000),
    ).values()
    assert (counts.accepted, counts.refused) == (1, 1)
    assert counts.tallies[Reason.UNSTORABLE].example == IDS[1]
    uris = archive.storage.open("dead_letters").file_uris()
    [letter] = duckdb.read_parquet(uris).to_arrow_table().to_pylist()
    assert (letter["id"], letter["reason"]) == (IDS[1], Reason.UNSTORABLE)
    assert IDS[1].encode() in letter["raw"]
    assert "confidential" not in str(letter) + str(log_lines)
    assert archive.counted("events_total") == 1
    assert archive.counted("dead_letters_total", reason="unstorable") == 1


def test_metrics_count_committed_rows(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    decoded = replace(
        decoded_rows([(0, 0), (0, 1), (1, 5)], [(0, 2), (1, 6)], {}),
        progress=Progress(keyed({0: 2, 1: 6}), keyed({0: 10, 1: 7}), last=True),
        skipped=3,
        misrouted={0: 2},
        absurd_times=5,
        duplicates=4,
    )
    archive.now += 30
    archive.loop.add(decoded)
    assert archive.counted("events_total") == 3
    assert archive.counted("dead_letters_total", reason="not_json") == 2
    assert archive.counted("duplicates_total") == 4
    assert archive.counted("misrouted_total") == 2
    assert archive.counted("absurd_kafka_times_total") == 5
    assert archive.counted("skipped_total") == 3
    assert [archive.counted("last_offset", partition=p) for p in (0, 1)] == [2, 6]
    assert [archive.counted("lag_records", partition=p) for p in (0, 1)] == [7, 0]
    assert archive.counted("freshness_seconds") == 30
    for table in ("events", "dead_letters"):
        assert archive.counted("commits_total", table=table) == 1
    archive.poll(3, last=True)
    assert archive.counted("events_total") == 4
    assert archive.counted("commits_total", table="dead_letters") == 1


def test_freshness_is_the_age_of_the_oldest_event_of_a_commit(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    rows = decoded_rows([(0, 0), (0, 1)], [], {0: 1}, last=True)
    at = rows.events.schema.get_field_index("kafka_ts")
    kafka_ts = pa.array([NOW, NOW + timedelta(seconds=20)], pa.timestamp("us", "UTC"))
    archive.now += 30
    archive.loop.add(
        replace(rows, events=rows.events.set_column(at, "kafka_ts", kafka_ts))
    )
    assert archive.counted("freshness_seconds") == 30


def test_redelivered_records_are_counted_as_duplicates(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    for offset in range(3):
        rows = decoded_rows([(0, offset)], [], {0: offset}, last=True)
        archive.loop.add(named(rows, IDS[0]))
    assert (archive.counted("events_total"), archive.counted("duplicates_total")) == (
        1,
        2,
    )


def test_streams_are_registered_before_the_first_fence(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    main, [side] = archive.tables.open()
    uris = archive.storage.open("streams").file_uris()
    rows = duckdb.read_parquet(uris).to_arrow_table().to_pylist()
    registered = {(row["table_name"], row["kafka_partition"]) for row in rows}
    assert registered == {(t, p) for t in ("events", "dead_letters") for p in (0, 1)}
    assert {(r["flow"], r["cluster_id"], r["topic"], r["topic_id"]) for r in rows} == {
        (LOG.flow, LOG.cluster_id, LOG.topic, LOG.topic_id)
    }
    assert (
        main.stored(Partition(LOG.topic_id, 0), "/fence"),
        side.stored(Partition(LOG.topic_id, 0), "/fence"),
    ) == (None, None)
    version = archive.version("streams")
    Archive(tmp_path).started()
    assert archive.version("streams") == version


@pytest.mark.parametrize(
    "other_stream",
    [replace(LOG, cluster_id="elsewhere"), replace(LOG, flow="other")],
    ids=["another cluster", "another flow"],
)
def test_the_topic_of_another_cluster_or_flow_is_rejected_until_accepted(
    tmp_path: Path, other_stream: StreamId
) -> None:
    Archive(tmp_path).started().poll(0, last=True)
    with pytest.raises(
        LakeError, match="The lake contains topic 'agent-events' of"
    ) as error:
        Archive(tmp_path, other_stream).started()
    assert "--new-log" in error.value.todo
    accepted = Archive(tmp_path, other_stream)
    assert accepted.tables.take_over(new_log=True) == keyed({0: -1, 1: -1})
    accepted.poll(0, last=True)
    again = Archive(tmp_path, other_stream)
    assert again.tables.take_over() == keyed({0: 0, 1: -1})
    assert again.stored() == [(0, 0), (0, 0)]


def test_a_recreated_topic_is_read_from_its_beginning(tmp_path: Path) -> None:
    Archive(tmp_path).started().poll(0, 1, last=True)
    again = Archive(tmp_path, replace(LOG, topic_id="topic-2"))
    assert again.tables.take_over() == keyed({0: -1, 1: -1}, "topic-2")
    assert Archive(tmp_path).tables.take_over() == keyed({0: 1, 1: -1})
