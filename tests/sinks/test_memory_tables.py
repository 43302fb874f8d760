"""`memories`, then `episodes`: each row is visible exactly once, despite crashes."""

import random
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.metrics import Metrics
from semloop.delta.streams import Partition, Streams
from semloop.errors import LakeError, MemoriesSwitched, TakenOver
from semloop.lake.generations import GENERATION
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable
from sinks.delta.table_log import TableLog
from sinks.flow_tables import FlowContext
from sinks.memory_tables import MemoryTables
from tests.operators.event_rows import event_row, events_table
from tests.sinks.memory_process import (
    HASHING,
    ORIGIN,
    STREAM,
    Crash,
    MemoryProcess,
    lake_settings,
    visible_memories,
)

pytestmark = pytest.mark.slow


CRASH_POINTS = ("before the vectors", "after the vectors", "after the commit")
# Long after all events: open episodes are closed by inactivity then.
LATER_MS = 10**13


def session_events(events: int, seed: int) -> pa.Table:
    """Return events of overlapping sessions with errors, feedback and completions."""
    rng = random.Random(seed)
    kinds = ("message", "tool_call", "error", "state_change", "feedback", "completion")
    rows = []
    for number in range(events):
        kind = rng.choices(kinds, (8, 6, 1, 2, 1, 1))[0]
        session = f"s-{rng.randrange(6)}"
        rows.append(event_row(kind, session, at_s=number * 40.0, text=f"text {number}"))
    return events_table(*rows)


def visible_without_crashes(folder: Path, stream: pa.Table) -> list[tuple[object, ...]]:
    """Return the visible memories of a run without crashes."""
    settings = lake_settings(folder)
    process = MemoryProcess(settings)
    while process.read(stream, 7, LATER_MS):
        pass
    return visible_memories(settings)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.storm) for n in range(1, 20))]
)
def test_each_memory_is_visible_once_despite_crashes(tmp_path: Path, seed: int) -> None:
    stream, rng = session_events(80, seed), random.Random(seed)
    wanted = visible_without_crashes(tmp_path / "calm", stream)
    to_remember = stream.filter(
        [
            kind in {"message", "tool_call", "error"}
            for kind in stream["type"].to_pylist()
        ]
    )
    assert [o for kind, o, _ in wanted if kind == "event"] == to_remember[
        "kafka_offset"
    ].to_pylist()
    settings = lake_settings(tmp_path / "storm")
    last = stream["kafka_offset"][-1].as_py()
    crashes, older = 0, None
    process = MemoryProcess(settings)
    while process.position < last:
        if older is not None:
            _write_until_taken_over(older, stream, rng)
        older = None
        for _ in range(rng.randrange(1, 5)):
            process.read(stream, rng.randrange(1, 9), LATER_MS)
        if process.position < last:
            if rng.random() < 0.7:
                process.crash_at(rng.choice(CRASH_POINTS))
                with pytest.raises(Crash):
                    process.read(stream, rng.randrange(1, 9), LATER_MS)
                crashes += 1
            else:
                older = process
            process = MemoryProcess(settings)
    assert crashes > 1
    # A crash after the last commit leaves no events to read.
    assert visible_memories(settings) == wanted


def _write_until_taken_over(
    older: MemoryProcess, stream: pa.Table, rng: random.Random
) -> None:
    """Let a copy write that has not detected yet that it was taken over."""
    with suppress(TakenOver):
        while older.read(stream, rng.randrange(1, 9), None):
            pass


def test_an_episode_closed_before_a_crash_is_not_visible_while_it_is_open(
    tmp_path: Path,
) -> None:
    """Its vectors were written when inactivity closed it; the re-read keeps it open."""
    settings = lake_settings(tmp_path)
    stream = events_table(event_row(text="one"), event_row(text="two", at_s=60))
    process = MemoryProcess(settings)
    process.crash_at("after the vectors")
    with pytest.raises(Crash):
        process.read(stream, 2, LATER_MS)
    more = pa.concat_tables(
        [stream, events_table(event_row(text="three", at_s=90), first=2)]
    )
    process = MemoryProcess(settings)
    assert process.read(more, 3, None)
    assert visible_memories(settings) == [
        ("event", 0, "one"), ("event", 1, "two"), ("event", 2, "three"),
    ]  # fmt: skip
    whole = pa.concat_tables(
        [more, events_table(event_row("completion", at_s=120, text="done"), first=3)]
    )
    assert process.read(whole, 1, None)
    (episode,) = [row for row in visible_memories(settings) if row[0] == "episode"]
    assert episode[1] == 3


def test_events_beyond_the_last_commit_are_not_visible(tmp_path: Path) -> None:
    settings = lake_settings(tmp_path)
    stream = events_table(*(event_row(text=f"{n}", at_s=n) for n in range(4)))
    process = MemoryProcess(settings)
    assert process.read(stream, 2, None)
    process.crash_at("after the vectors")
    with pytest.raises(Crash):
        process.read(stream, 2, None)
    assert [text for _, _, text in visible_memories(settings)] == ["0", "1"]


def test_a_copy_that_was_taken_over_replaces_no_memories(
    tmp_path: Path,
) -> None:
    settings = lake_settings(tmp_path)
    older, newer = MemoryProcess(settings), MemoryProcess(settings)
    assert newer.read(events_table(event_row(text="by the newer one")), 1, None)
    with pytest.raises(TakenOver):
        older.read(events_table(event_row(text="by the older one")), 1, None)
    assert visible_memories(settings) == [("event", 0, "by the newer one")]


def test_a_writer_replaces_older_memories_after_the_episodes_were_lost(
    tmp_path: Path,
) -> None:
    """The fences are lost too, but memories store the epochs of their writers."""
    settings = lake_settings(tmp_path / "lake")
    for _ in range(3):
        process = MemoryProcess(settings)
    assert process.read(events_table(event_row(text="before")), 1, None)
    Path(settings.lake, "episodes").rename(tmp_path / "gone")
    assert MemoryProcess(settings).read(events_table(event_row(text="after")), 1, None)
    assert visible_memories(settings) == [("event", 0, "after")]


def test_a_worker_without_commits_reports_missing_memories(
    tmp_path: Path,
) -> None:
    """In a cluster it may be the first to take over."""
    settings = lake_settings(tmp_path / "lake")
    assert MemoryProcess(settings).read(events_table(event_row()), 1, None)
    Path(settings.lake, "memories").rename(tmp_path / "gone")
    context = FlowContext(settings, Storage.of(settings), Metrics())
    unread, model = Partition(ORIGIN.topic_id, 1), (HASHING.model_id, HASHING.dimension)
    other = MemoryTables(context, Streams.of(STREAM), [unread], model)
    with pytest.raises(LakeError, match=r"missing\.\n.*maintain reindex"):
        other.take_over()


def test_a_flow_that_a_reindex_replaced_reports_memories_switched(
    tmp_path: Path,
) -> None:
    settings = lake_settings(tmp_path)
    stream = events_table(event_row(text="one"), event_row(text="two", at_s=1))
    process = MemoryProcess(settings)
    assert process.read(stream, 1, None)
    storage = Storage.of(settings)
    main = FencedTable(TableLog(storage, "episodes"), Streams.of(STREAM), (ORIGIN,))
    assert main.take({ORIGIN: main.epoch(ORIGIN) + 1}, {GENERATION: 2})
    with pytest.raises(MemoriesSwitched):
        process.read(stream, 1, None)
