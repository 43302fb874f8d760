"""Sums in `agent_metrics` are those of one GROUP BY over the events, after anything."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.arrow import METRIC_SUMS
from schemas.batches import DataFile, Progress
from schemas.compression import Compression
from schemas.summed import Summed
from semloop.delta.file_name import FileName
from semloop.errors import LakeError, TakenOver
from semloop.storage.location import Storage
from semloop.table_declaration import Table
from sinks.compaction.row_queries import merged_rows
from sources.lake.table_dates import ColdDates
from tests.operators.event_rows import Row, event_row
from tests.operators.metric_events import event_rows, expected, found, stream
from tests.sinks.compacting import compact, file_count
from tests.sinks.metrics_process import (
    Crash,
    MetricsProcess,
    lake_settings,
    stored_sums,
)
from tests.sinks.summing import compact_old, in_days
from tests.support.builders import NOW, P0
from tests.support.examples import examples

TABLE = "agent_metrics"
STEPS = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("read"), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("crash before the commit"), st.integers(0, 1), st.just(3)),
    st.tuples(st.just("crash after the commit"), st.integers(0, 1), st.just(3)),
    st.tuples(st.just("second copy"), st.just(0), st.just(0)),
    st.tuples(st.just("merge"), st.just(0), st.just(0)),
    st.tuples(st.just("roll-up"), st.just(0), st.just(0)),
)


@pytest.mark.slow
@examples(12)
@given(st.lists(event_rows(), max_size=25), st.lists(STEPS, max_size=12))
def test_sums_are_those_of_one_group_by_after_any_history(
    rows: list[Row], steps: list[tuple[str, int, int]]
) -> None:
    events = stream(rows)
    with tempfile.TemporaryDirectory() as folder:
        settings = lake_settings(Path(folder))
        process = MetricsProcess(settings, events)
        rolled_up = False
        for kind, partition, count in steps:
            if kind.startswith("crash"):
                process.crash_at_commit(after=kind == "crash after the commit")
                with suppress(Crash):
                    process.read(partition, count)
                process = MetricsProcess(settings, events)
            elif kind == "second copy":
                older, process = process, MetricsProcess(settings, events)
                with suppress(TakenOver):  # It has nothing to commit at the end.
                    older.finish()
            elif kind == "merge":
                compact(Storage.of(settings), TABLE)
            elif kind == "roll-up":
                compact_old(Storage.of(settings), TABLE)
                rolled_up = True
            else:
                process.read(partition, count)
        process.finish()
        # What was rolled up has lost its minutes.
        if not rolled_up:
            assert found(stored_sums(settings)) == expected(events)
            compact(Storage.of(settings), TABLE)
            assert found(stored_sums(settings)) == expected(events)
        assert found(in_days(stored_sums(settings))) == expected(in_days(events, "ts"))
        compact_old(Storage.of(settings), TABLE)
        assert found(in_days(stored_sums(settings))) == expected(in_days(events, "ts"))


def test_a_merge_adds_up_rows_with_the_same_keys(tmp_path: Path) -> None:
    settings = lake_settings(tmp_path)
    events = stream([event_row(at_s=n, kafka_partition=0) for n in range(6)])
    process = MetricsProcess(settings, events)
    for _ in range(6):
        process.read(0, 1)
    assert stored_sums(settings).num_rows == 6
    compact(Storage.of(settings), TABLE)
    (row,) = stored_sums(settings).to_pylist()
    assert (row["events"], row["kafka_offset"]) == (6, 5)
    # What comes later is added by the next merge.
    later = stream([event_row(at_s=n, kafka_partition=0) for n in range(7)])
    MetricsProcess(settings, later).finish()
    compact(Storage.of(settings), TABLE)
    assert stored_sums(settings)["events"].to_pylist() == [7]


def test_an_old_date_is_rolled_up_to_days_in_one_file(tmp_path: Path) -> None:
    settings = lake_settings(tmp_path)
    rows = [event_row(at_s=7_200 * n, kafka_partition=0) for n in range(12)]
    process = MetricsProcess(settings, stream(rows))
    for _ in range(12):
        process.read(0, 1)
    storage = Storage.of(settings)
    compact_old(storage, TABLE)
    found = stored_sums(settings).sort_by("minute").to_pylist()
    midnight = NOW.replace(hour=0)
    assert [(row["minute"], row["events"]) for row in found] == [
        (midnight, 6),
        (midnight + timedelta(days=1), 6),
    ]
    assert file_count(storage, TABLE) == 1
    assert compact_old(storage, TABLE) == []


def test_a_merge_that_changes_a_key_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = lake_settings(tmp_path)
    rows = [event_row(agent=name, kafka_partition=0) for name in "ab"]
    process = MetricsProcess(settings, stream(rows))
    process.read(0, 1)
    process.read(0, 1)

    def broken(
        spec: Table, uris: Sequence[str], rows: str, **more: bool
    ) -> tuple[str, list[list[str]]]:
        sql, values = merged_rows(spec, uris, rows, **more)
        assert " agent," in sql
        return sql.replace(" agent,", " upper(agent) AS agent,", 1), values

    monkeypatch.setattr("sinks.compaction.merged_file.merged_rows", broken)
    with pytest.raises(LakeError, match="would change rows"):
        compact(Storage.of(settings), TABLE)


def test_rolled_up_sums_have_no_storage_class_of_old_files() -> None:
    cold = ColdDates({TABLE: 1.0, "events": 1.0}, Compression(15, "STANDARD_IA"))
    today = NOW.date()
    old = today - timedelta(days=3)
    files = [DataFile("part", 1, FileName(first=1), NOW)]
    assert cold.due(TABLE, old, today, files) == Compression(15)
    assert cold.due("events", old, today, files) == cold.compression
    # `retain` rewrites files of old dates, too.
    assert cold.compression_of(TABLE) == Compression(15)
    assert cold.due(TABLE, today - timedelta(days=1), today, files) is None


def test_a_commit_reports_its_events_and_its_freshness(tmp_path: Path) -> None:
    settings = lake_settings(tmp_path)
    events = stream([event_row(kafka_partition=0)] * 3)
    process = MetricsProcess(settings, events, now=NOW + timedelta(seconds=9))
    process.read(0, 2)
    value = process.metrics.value
    assert value("semloop_summed_events_total", flow="metrics") == 2
    assert value("semloop_freshness_seconds", flow="metrics") == 9
    assert value("semloop_commits_total", flow="metrics", table=TABLE) == 1


def test_positions_without_events_are_committed(tmp_path: Path) -> None:
    settings = lake_settings(tmp_path)
    process = MetricsProcess(settings, stream([]))
    process.loop.add(Summed(METRIC_SUMS.empty_table(), Progress({P0: 41}, last=True)))
    assert MetricsProcess(settings, stream([])).positions[P0] == 41
