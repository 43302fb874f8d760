"""Memories expire by their own policy: `retain`, `memory`, `reindex` and readers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.index import index
from flows.reindex import reindex
from flows.retain import retain
from semloop.lake.generations import FOLDER
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable
from sinks.vectors import maintenance
from tests.flows.reindex_lake import LATER_MS, Events
from tests.operators.event_rows import event_row, events_table
from tests.sinks.memory_process import Crash, MemoryProcess, lake_settings
from tests.support.in_process import run_flow

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
OLD, NEW = NOW - timedelta(days=10), NOW - timedelta(days=1)
KEPT_DAYS = {"memories": 5.0}
# Long enough that no encoding changes them.
OLD_TEXT, NEW_TEXT = "wq7zkx5vbn3mjh1tgr9", "p2lqs8dcv4yfw6hxk0b"
TEXTS = "SELECT kind, namespace FROM memories ORDER BY kind, kafka_ts, namespace"
EVERY = [
    ("episode", "a"), ("episode", "b"), ("episode", "a"),
    ("event", "a"), ("event", "b"), ("event", "a"),
]  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(maintenance, "VERSION_RETENTION", timedelta(milliseconds=1))
    # Less than 0: times in S3 are whole seconds, so a version may be 0 seconds old.
    monkeypatch.setattr(maintenance, "VERSION_AGE_MAX", timedelta(seconds=-1))
    return lake_settings(tmp_path)


def session(name: str, text: str, at: datetime, namespace: str) -> list[dict[str, Any]]:
    """Return the two events of an episode, which are a memory each with it."""
    columns: dict[str, Any] = {
        "ts": at, "kafka_ts": at, "ingested_at": at, "date": at.date(),
    }  # fmt: skip
    columns |= {"namespace": namespace, "task": text}
    return [
        event_row("message", name, text=text, **columns),
        event_row("completion", name, text="", **columns),
    ]


def written(settings: Settings, caught_up_ms: int = LATER_MS) -> Events:
    """Write two old sessions and a new one."""
    events = Events(settings, caught_up_ms)
    old = session("s-1", OLD_TEXT, OLD, "a") + session("s-2", OLD_TEXT, OLD, "b")
    events.add(events_table(*old, *session("s-3", NEW_TEXT, NEW, "a")))
    return events


def remembered(settings: Settings) -> list[tuple[str, str]]:
    """Return the memories that SQL shows, as `TEXTS`; recall must show the same."""
    with Lake(settings=settings, stale_s=0.0) as lake:
        rows = lake.sql(TEXTS).fetchall()
        for text in (OLD_TEXT, NEW_TEXT):
            hits = lake.recall(text, k=10).select(["kind", "namespace"])
            assert sorted(zip(*hits.to_pydict().values(), strict=True)) == sorted(rows)
    return rows


def files_with(settings: Settings, text: str) -> list[str]:
    storage = Storage.of(settings)
    names = [file.name for file in stored_files(storage, FOLDER)]
    return [n for n in names if text.encode() in (storage.read(n) or b"")]


def test_expired_memories_are_gone_immediately_and_do_not_come_back(
    settings: Settings,
) -> None:
    written(settings)
    run_flow(settings, "memory")
    assert remembered(settings) == EVERY
    assert retain(settings).expired == {}
    settings = settings.replace(retention=KEPT_DAYS)
    found = retain(settings, dry_run=True).expired
    assert remembered(settings) == EVERY
    assert (found["memories"].rows, found["memories"].dates) == (4, 1)
    assert retain(settings).expired == found
    left = [("episode", "a"), ("event", "a")]
    assert remembered(settings) == left
    run_flow(settings, "memory")
    index(settings)
    assert remembered(settings) == left
    assert (files_with(settings, OLD_TEXT), len(files_with(settings, NEW_TEXT))) == (
        [], 1,
    )  # fmt: skip
    assert reindex(settings).skipped == 4
    assert remembered(settings) == left
    index(settings)
    assert files_with(settings, OLD_TEXT) == []


def test_the_memories_of_one_namespace_expire(settings: Settings) -> None:
    written(settings)
    run_flow(settings, "memory")
    own = settings.replace(retention={"memories/b": 5.0})
    assert retain(own).expired["memories"].rows == 2
    left = [row for row in EVERY if row[1] != "b"]
    assert remembered(own) == left
    own = settings.replace(retention={"memories": 5.0, "memories/a": 0.0})
    assert retain(own).expired == {}
    assert remembered(own) == left


def test_memory_does_not_write_what_has_expired(settings: Settings) -> None:
    settings = settings.replace(retention=KEPT_DAYS)
    written(settings)
    metrics = run_flow(settings, "memory")
    labels = {"flow": "memory", "reason": "expired"}
    assert metrics.value("semloop_not_remembered_total", **labels) == 4
    assert remembered(settings) == [("episode", "a"), ("event", "a")]
    with Lake(settings=settings) as lake:
        assert lake.sql("FROM episodes").fetchall()[2:]  # all of them


def test_a_clock_that_is_ahead_keeps_no_memory_from_being_written(
    settings: Settings,
) -> None:
    written(settings, caught_up_ms=int(OLD.timestamp() * 1_000))
    run_flow(settings.replace(retention=KEPT_DAYS), "memory")
    assert remembered(settings) == EVERY


def test_memories_are_pruned_by_importance(settings: Settings) -> None:
    written(settings)
    run_flow(settings, "memory")
    own = settings.replace(memories_max={"a": 3})
    assert retain(own, dry_run=True).expired["memories"].rows == 1
    assert retain(own).expired["memories"].rows == 1
    left = remembered(own)
    assert len(left) == len(EVERY) - 1
    # The reindexed memories are pruned before they can be recalled.
    reindex(own)
    assert remembered(own) == left
    own = settings.replace(memories_importance_min={"a": 0.6})
    assert retain(own).expired == {}
    assert remembered(own) == left


def test_memory_does_not_write_what_is_not_important(settings: Settings) -> None:
    settings = settings.replace(memories_importance_min={"*": 0.6})
    events = Events(settings)
    rows = [
        event_row("message", f"s-{n}", text=NEW_TEXT, importance=value)
        for n, value in enumerate((0.5, 0.6, None))
    ]
    events.add(events_table(*rows))
    run_flow(settings, "memory")
    with Lake(settings=settings) as lake:
        query = "SELECT importance FROM memories WHERE kind = 'event' ORDER BY ALL"
        assert lake.sql(query).fetchall() == [(0.6,), (None,)]


@pytest.mark.parametrize(
    "limits",
    [
        {"retention": KEPT_DAYS},
        {"memories_max": {"a": 1}},
        {"memories_importance_min": {"*": 0.9}},
    ],
    ids=lambda limits: next(iter(limits)),
)
def test_a_reindex_that_resumes_with_more_to_keep_has_all_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]
) -> None:
    events = written(settings)
    rows = session("s-4", NEW_TEXT, NEW, "a")
    events.add(events_table(*({**row, "importance": 0.5} for row in rows), first=6))
    run_flow(settings, "memory")
    every = shown(settings)
    assert len(every) == 8
    with monkeypatch.context() as patched:
        patched.setattr(FencedTable, "take", killed)
        with pytest.raises(Crash):
            reindex(settings.replace(**limits))
    reindex(settings)
    assert shown(settings) == every


def shown(settings: Settings) -> list[tuple[str, str]]:
    with Lake(settings=settings) as lake:
        return lake.sql(TEXTS).fetchall()


def killed(*_: Any) -> None:
    raise Crash


def test_the_memory_of_an_episode_outlives_its_row(settings: Settings) -> None:
    events = written(settings)
    life = MemoryProcess(settings, clock=OLD.timestamp)
    assert life.read(events.all, 6, LATER_MS)
    settings = settings.replace(retention={"episodes": 5.0, "events": 5.0})
    assert retain(settings).expired["episodes"].rows == 3
    with Lake(settings=settings) as lake:
        assert lake.sql("FROM episodes").fetchall() == []
    assert remembered(settings) == EVERY


def test_the_memory_of_an_episode_that_was_never_committed_stays_hidden(
    settings: Settings,
) -> None:
    events = written(settings)
    life = MemoryProcess(settings, clock=OLD.timestamp)
    assert life.read(events.all, 4, None)
    life.crash_at("after the vectors")
    with pytest.raises(Crash):
        life.read(events.all, 2, LATER_MS)
    settings = settings.replace(retention={"episodes": 5.0})
    assert retain(settings).expired["episodes"].rows == 2
    # The third session is not committed.
    assert remembered(settings) == [EVERY[0], EVERY[1], EVERY[3], EVERY[4]]
