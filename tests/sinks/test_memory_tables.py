"""`memories`, then `episodes`: whatever dies in between, each is seen exactly once."""

import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from schemas.arrow import EPISODE_REVISIONS, MEMORY_TEXTS
from schemas.batches import Progress, Vectored
from schemas.metrics import Metrics
from semloop.delta.streams import CAUGHT_UP, Partition, Streams
from semloop.errors import (
    LakeError,
    MemoriesSwitched,
    SkipReason,
    TakenOver,
    UnusableAnswer,
)
from semloop.lake.generations import GENERATION
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable
from sinks.delta.table_log import TableLog
from sinks.flow_tables import FlowContext
from sinks.memory_tables import MemoryTables
from tests.builders import NOW
from tests.operators.event_rows import event_row, events_table
from tests.sinks.a_memory import (
    HASHING,
    LOG,
    ORIGIN,
    Crash,
    Life,
    a_lake,
    rows_of,
    shown,
)

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

PLACES = ("before the vectors", "after the vectors", "after the commit")
# Long after all events: what is not closed by then closes by inactivity.
LATER_MS = 10**13
NOW_S = NOW.timestamp()
A_TICK = Vectored(
    MEMORY_TEXTS.empty_table(), EPISODE_REVISIONS.empty_table(), Progress()
)


def a_day(events: int, seed: int) -> pa.Table:
    """Sessions that overlap, talk, fail, get feedback, end or fall silent."""
    rng = random.Random(seed)
    kinds = ("message", "tool_call", "error", "state_change", "feedback", "completion")
    rows = []
    for number in range(events):
        kind = rng.choices(kinds, (8, 6, 1, 2, 1, 1))[0]
        session = f"s-{rng.randrange(6)}"
        rows.append(event_row(kind, session, at_s=number * 40.0, text=f"text {number}"))
    return events_table(*rows)


def undisturbed(folder: Path, stream: pa.Table) -> list[tuple[object, ...]]:
    """What is shown when nothing dies."""
    settings = a_lake(folder)
    life = Life(settings)
    while life.read(stream, 7, LATER_MS):
        pass
    return shown(settings)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_dies_each_memory_is_seen_once(tmp_path: Path, seed: int) -> None:
    stream, rng = a_day(120, seed), random.Random(seed)
    wanted = undisturbed(tmp_path / "calm", stream)
    told = stream.filter(
        [
            kind in {"message", "tool_call", "error"}
            for kind in stream["type"].to_pylist()
        ]
    )
    assert [o for kind, o, _ in wanted if kind == "event"] == told[
        "kafka_offset"
    ].to_pylist()
    settings = a_lake(tmp_path / "storm")
    last = stream["kafka_offset"][-1].as_py()
    deaths, older = 0, None
    life = Life(settings)
    while life.position < last:
        if older is not None:
            _goes_on_blindly(older, stream, rng)
        older = None
        for _ in range(rng.randrange(1, 5)):
            life.read(stream, rng.randrange(1, 9), LATER_MS)
        if life.position < last:
            if rng.random() < 0.7:
                life.dies(rng.choice(PLACES))
                with pytest.raises(Crash):
                    life.read(stream, rng.randrange(1, 9), LATER_MS)
                deaths += 1
            else:
                older = life
            life = Life(settings)
    assert deaths > 1
    # What died in its last commit may have committed it: nothing is left to read.
    assert shown(settings) == wanted


def _goes_on_blindly(older: Life, stream: pa.Table, rng: random.Random) -> None:
    """A copy that does not know yet that it was taken over writes once more."""
    with suppress(TakenOver):
        while older.read(stream, rng.randrange(1, 9), None):
            pass


def test_an_episode_that_a_crash_left_closed_is_not_seen_before_it_is(
    tmp_path: Path,
) -> None:
    """Vectors say that it closed by inactivity, but it went on after the crash."""
    settings = a_lake(tmp_path)
    stream = events_table(event_row(text="one"), event_row(text="two", at_s=60))
    life = Life(settings)
    life.dies("after the vectors")
    with pytest.raises(Crash):
        life.read(stream, 2, LATER_MS)
    more = pa.concat_tables(
        [stream, events_table(event_row(text="three", at_s=90), first=2)]
    )
    life = Life(settings)
    assert life.read(more, 3, None)
    assert shown(settings) == [
        ("event", 0, "one"), ("event", 1, "two"), ("event", 2, "three"),
    ]  # fmt: skip
    whole = pa.concat_tables(
        [more, events_table(event_row("completion", at_s=120, text="done"), first=3)]
    )
    assert life.read(whole, 1, None)
    (episode,) = [row for row in shown(settings) if row[0] == "episode"]
    assert episode[1] == 3


def test_events_beyond_the_last_commit_are_not_seen(tmp_path: Path) -> None:
    settings = a_lake(tmp_path)
    stream = events_table(*(event_row(text=f"{n}", at_s=n) for n in range(4)))
    life = Life(settings)
    assert life.read(stream, 2, None)
    life.dies("after the vectors")
    with pytest.raises(Crash):
        life.read(stream, 2, None)
    assert [text for _, _, text in shown(settings)] == ["0", "1"]


def test_one_commit_holds_the_newest_revision_of_an_episode(tmp_path: Path) -> None:
    settings = a_lake(tmp_path).replace(commit_rows=100, commit_interval_s=1_000)
    stream = events_table(*(event_row(text=f"{n}", at_s=n) for n in range(6)))
    life = Life(settings)
    for _ in range(3):
        assert life.read(stream, 2, None)
    assert shown(settings) == []
    assert life.read(
        pa.concat_tables([stream, events_table(event_row(at_s=7), first=6)]),
        1,
        None,
        last=True,
    )
    revisions = rows_of(settings, "SELECT revision, events FROM tables.episodes")
    assert revisions == [{"revision": 4, "events": 7}]


class Moody:
    """Gives no usable vector of some texts."""

    model_id = HASHING.model_id
    dimension = HASHING.dimension
    semantic = False

    def __init__(self, reason: SkipReason) -> None:
        self._reason: SkipReason = reason

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return HASHING.token_counts(texts)

    def embed(self, texts: Sequence[str]) -> "Vectors":
        vectors = HASHING.embed(texts)
        if any("bad" in text for text in texts):
            if self._reason == "nan":
                vectors[["bad" in text for text in texts]] = np.nan
            elif self._reason == "dimension":
                return vectors[:, :-1]
            else:
                msg = "It took too long."
                raise UnusableAnswer(msg, reason=self._reason)
        return vectors


@pytest.mark.parametrize("reason", ["nan", "dimension", "timeout"])
def test_a_text_without_a_vector_is_left_out_and_counted(
    tmp_path: Path, reason: SkipReason
) -> None:
    settings = a_lake(tmp_path)
    stream = events_table(
        event_row(text="good"), event_row(text="bad"), event_row(text="fine")
    )
    life = Life(settings, Moody(reason))
    assert life.read(stream, 3, None)
    assert [text for _, _, text in shown(settings)] == ["good", "fine"]
    counted = _skipped(life.metrics, reason)
    assert counted == 1


def _skipped(metrics: Metrics, reason: str) -> float:
    return metrics.value("semloop_not_remembered_total", flow="memory", reason=reason)


def test_another_model_is_refused(tmp_path: Path) -> None:
    settings = a_lake(tmp_path)
    Life(settings)

    class Other(Moody):
        model_id = "other"

    with pytest.raises(LakeError, match=r"other.*\n.*maintain reindex"):
        Life(settings, Other("nan"))


def test_a_commit_is_made_when_it_holds_many_bytes(tmp_path: Path) -> None:
    settings = a_lake(tmp_path).replace(
        commit_rows=100, commit_interval_s=1_000, commit_bytes=5_000
    )
    # The row of its episode keeps 500 characters of it.
    long = events_table(event_row(text="hello " * 500))
    assert Life(settings).read(long, 1, None)
    assert len(shown(settings)) > 1


def test_how_far_archive_was_is_told_once_all_of_it_is_consumed(tmp_path: Path) -> None:
    settings = a_lake(tmp_path)
    stream = events_table(*(event_row(at_s=n) for n in range(3)))
    life = Life(settings)

    def told() -> tuple[int | None, float]:
        stored = life.tables._main.stored(ORIGIN, CAUGHT_UP)
        lag = life.metrics.value("semloop_lag_records", flow="memory", partition="0")
        return stored, lag

    assert life.read(stream, 2, 7_000)
    assert told() == (None, 1)
    assert life.read(stream, 1, 7_000)
    assert told() == (7_000, 0)


def test_what_a_copy_that_was_taken_over_still_merges_replaces_nothing(
    tmp_path: Path,
) -> None:
    settings = a_lake(tmp_path)
    older, newer = Life(settings), Life(settings)
    assert newer.read(events_table(event_row(text="by the newer one")), 1, None)
    with pytest.raises(TakenOver):
        older.read(events_table(event_row(text="by the older one")), 1, None)
    assert shown(settings) == [("event", 0, "by the newer one")]


def test_whoever_lost_the_episodes_still_writes_over_older_memories(
    tmp_path: Path,
) -> None:
    """Fences went with them, but memories keep the epochs of their writers."""
    settings = a_lake(tmp_path / "lake")
    for _ in range(3):
        life = Life(settings)
    assert life.read(events_table(event_row(text="before")), 1, None)
    Path(settings.lake, "episodes").rename(tmp_path / "gone")
    assert Life(settings).read(events_table(event_row(text="after")), 1, None)
    assert shown(settings) == [("event", 0, "after")]


def test_a_worker_that_read_nothing_yet_does_not_hide_that_memories_are_gone(
    tmp_path: Path,
) -> None:
    """In a cluster it may be the first to look."""
    settings = a_lake(tmp_path / "lake")
    assert Life(settings).read(events_table(event_row()), 1, None)
    Path(settings.lake, "memories").rename(tmp_path / "gone")
    context = FlowContext(settings, Storage.of(settings), Metrics())
    unread, model = Partition(ORIGIN.topic_id, 1), (HASHING.model_id, HASHING.dimension)
    other = MemoryTables(context, Streams.of(LOG), [unread], model)
    with pytest.raises(LakeError, match=r"gone\.\n.*maintain reindex"):
        other.take_over()


def test_a_clock_that_is_put_back_holds_no_commit_up(tmp_path: Path) -> None:
    settings = a_lake(tmp_path).replace(
        commit_rows=100, commit_interval_s=1, fence_check_s=10
    )
    stream = events_table(*(event_row(text=f"{n}", at_s=n) for n in range(3)))
    now_s = [NOW_S]
    life = Life(settings, clock=lambda: now_s[0])
    assert life.read(stream, 1, None)
    now_s[0] -= 3_600
    assert life.read(stream, 1, None)
    assert [text for _, _, text in shown(settings)] == ["0", "1"]


def test_a_copy_notices_that_it_was_taken_over_after_its_clock_is_put_back(
    tmp_path: Path,
) -> None:
    settings = a_lake(tmp_path).replace(fence_check_s=10)
    now_s = [NOW_S]
    older = Life(settings, clock=lambda: now_s[0])
    Life(settings)
    now_s[0] -= 3_600
    with pytest.raises(TakenOver):
        older.loop.add(A_TICK)


def test_freshness_is_of_events_not_of_episodes_that_fell_silent(
    tmp_path: Path,
) -> None:
    settings = a_lake(tmp_path)
    now_s = [NOW_S]
    life = Life(settings, clock=lambda: now_s[0])
    assert life.read(events_table(event_row()), 1, None)
    assert _freshness(life.metrics) == 0
    now_s[0] += 2_000
    life.falls_silent(int(now_s[0] * 1_000))
    assert life.metrics.value("semloop_episodes_total", flow="memory") == 1
    assert _freshness(life.metrics) == 0


def _freshness(metrics: Metrics) -> float:
    return metrics.value("semloop_freshness_seconds", flow="memory")


def test_who_was_replaced_by_a_reindex_is_to_start_again(tmp_path: Path) -> None:
    settings = a_lake(tmp_path)
    stream = events_table(event_row(text="one"), event_row(text="two", at_s=1))
    life = Life(settings)
    assert life.read(stream, 1, None)
    storage = Storage.of(settings)
    main = FencedTable(TableLog(storage, "episodes"), Streams.of(LOG), (ORIGIN,))
    assert main.take({ORIGIN: main.epoch(ORIGIN) + 1}, {GENERATION: 2})
    with pytest.raises(MemoriesSwitched):
        life.read(stream, 1, None)
