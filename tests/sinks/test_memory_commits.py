"""When the flow `memory` commits, and what its commits report."""

from pathlib import Path

import pyarrow as pa
import pytest

from schemas.arrow import EPISODE_REVISIONS, MEMORY_TEXTS
from schemas.batches import Progress, Vectored
from schemas.metrics import Metrics
from semloop.delta.streams import CAUGHT_UP
from semloop.errors import TakenOver
from tests.operators.event_rows import event_row, events_table
from tests.sinks.memory_process import (
    ORIGIN,
    MemoryProcess,
    lake_settings,
    query_rows,
    visible_memories,
)
from tests.support.builders import NOW

pytestmark = pytest.mark.slow


NOW_S = NOW.timestamp()
TICK = Vectored(MEMORY_TEXTS.empty_table(), EPISODE_REVISIONS.empty_table(), Progress())


def test_a_commit_contains_only_the_newest_revision_of_an_episode(
    tmp_path: Path,
) -> None:
    settings = lake_settings(tmp_path).replace(commit_rows=100, commit_interval_s=1_000)
    stream = events_table(*(event_row(text=f"{n}", at_s=n) for n in range(6)))
    process = MemoryProcess(settings)
    for _ in range(3):
        assert process.read(stream, 2, None)
    assert visible_memories(settings) == []
    assert process.read(
        pa.concat_tables([stream, events_table(event_row(at_s=7), first=6)]),
        1,
        None,
        last=True,
    )
    revisions = query_rows(settings, "SELECT revision, events FROM tables.episodes")
    assert revisions == [{"revision": 4, "events": 7}]


def test_it_commits_when_commit_bytes_are_buffered(tmp_path: Path) -> None:
    settings = lake_settings(tmp_path).replace(
        commit_rows=100, commit_interval_s=1_000, commit_bytes=5_000
    )
    # The row of its episode contains 500 characters of it.
    long = events_table(event_row(text="hello " * 500))
    assert MemoryProcess(settings).read(long, 1, None)
    assert len(visible_memories(settings)) > 1


def test_caught_up_ms_is_stored_when_all_archived_events_are_consumed(
    tmp_path: Path,
) -> None:
    settings = lake_settings(tmp_path)
    stream = events_table(*(event_row(at_s=n) for n in range(3)))
    process = MemoryProcess(settings)

    def reported() -> tuple[int | None, float]:
        stored = process.tables._main.stored(ORIGIN, CAUGHT_UP)
        lag = process.metrics.value("semloop_lag_records", flow="memory", partition="0")
        return stored, lag

    assert process.read(stream, 2, 7_000)
    assert reported() == (None, 1)
    assert process.read(stream, 1, 7_000)
    assert reported() == (7_000, 0)


def test_a_clock_that_is_set_back_does_not_delay_commits(tmp_path: Path) -> None:
    settings = lake_settings(tmp_path).replace(
        commit_rows=100, commit_interval_s=1, fence_check_s=10
    )
    stream = events_table(*(event_row(text=f"{n}", at_s=n) for n in range(3)))
    now_s = [NOW_S]
    process = MemoryProcess(settings, clock=lambda: now_s[0])
    assert process.read(stream, 1, None)
    now_s[0] -= 3_600
    assert process.read(stream, 1, None)
    assert [text for _, _, text in visible_memories(settings)] == ["0", "1"]


def test_a_copy_detects_that_it_was_taken_over_after_its_clock_was_set_back(
    tmp_path: Path,
) -> None:
    settings = lake_settings(tmp_path).replace(fence_check_s=10)
    now_s = [NOW_S]
    older = MemoryProcess(settings, clock=lambda: now_s[0])
    MemoryProcess(settings)
    now_s[0] -= 3_600
    with pytest.raises(TakenOver):
        older.loop.add(TICK)


def test_freshness_measures_events_not_inactive_episodes(
    tmp_path: Path,
) -> None:
    settings = lake_settings(tmp_path)
    now_s = [NOW_S]
    process = MemoryProcess(settings, clock=lambda: now_s[0])
    assert process.read(events_table(event_row()), 1, None)
    assert _freshness(process.metrics) == 0
    now_s[0] += 2_000
    process.read_idle_tick(int(now_s[0] * 1_000))
    assert process.metrics.value("semloop_episodes_total", flow="memory") == 1
    assert _freshness(process.metrics) == 0


def _freshness(metrics: Metrics) -> float:
    return metrics.value("semloop_freshness_seconds", flow="memory")
