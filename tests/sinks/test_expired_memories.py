"""Memories that have expired leave the table, while a flow writes and others maintain."""

import itertools
import subprocess
import sys
import threading
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from operators.memories.expiry import memory_expiry
from semloop.lake import generations
from semloop.settings import Settings
from semloop.settings.maintenance_section import MaintenanceSettings
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage
from sinks.vectors import expired_memories, maintenance
from sinks.vectors.expired_memories import MARKS, NONE, Removed, remove_expired
from sinks.vectors.maintenance import maintain
from tests.sinks.memory_builder import memory_rows, search_texts, stored, vector_table
from tests.support.processes import ROOT, environment

pytestmark = pytest.mark.slow

OLD = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEW = OLD + timedelta(days=10)
CONDITION = "coalesce(kafka_ts < timestamp '2026-01-05T00:00:00+00:00', false)"
# Long enough that no encoding changes it.
SECRET = "wq7zkx5vbn3mjh1tgr9"


@pytest.fixture(params=["folder", "s3"])
def lake_settings(request: pytest.FixtureRequest) -> Settings:
    named = "settings" if request.param == "folder" else "s3_settings"
    return cast(Settings, request.getfixturevalue(named))


@pytest.fixture(autouse=True)
def _versions_are_old_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "VERSION_RETENTION", timedelta(milliseconds=1))
    # Times in S3 are whole seconds, so that a version may be 0 seconds old.
    monkeypatch.setattr(maintenance, "VERSION_AGE_MAX", timedelta(seconds=-1))
    monkeypatch.setattr(maintenance, "ROWS_WITHOUT_INDEX", 300)


def written(storage: Storage) -> set[int]:
    """Write 10 old memories among 390 new ones; return the numbers of the latter."""
    table = vector_table(storage)
    for first in range(0, 400, 100):
        old = range(first, first + 3) if first else range(1)
        values: dict[str, Any] = {"text": SECRET, "words": SECRET, "session_id": SECRET}
        table.merge(memory_rows(old, kafka_ts=OLD, **values))
        table.merge(memory_rows(range(old.stop, first + 100), kafka_ts=NEW))
    return {n for n in range(400) if n % 100 > 2 or 0 < n < 3}


def expire(storage: Storage, *, dry_run: bool = False) -> Removed:
    removed = remove_expired(storage, 1, CONDITION, {}, 30.0, dry_run=dry_run)
    assert removed is not None
    return removed


def files_with_secret(storage: Storage) -> list[str]:
    """Return the files that have a text or the vector of an expired memory."""
    vector = memory_rows([0])["vector"].combine_chunks().flatten().to_numpy()
    names = [file.name for file in stored_files(storage, generations.FOLDER)]
    secrets = (SECRET.encode(), vector.tobytes())
    data = {name: storage.read(name) or b"" for name in names}
    return [name for name in names if any(text in data[name] for text in secrets)]


def numbers_of(storage: Storage) -> list[int]:
    return [number for number, _ in stored(storage)]


@pytest.mark.parametrize("maintained", [False, True])
def test_expired_memories_are_in_no_file_after_maintenance(
    lake_settings: Settings, maintained: bool
) -> None:
    storage = Storage.of(lake_settings)
    kept = written(storage)
    if maintained:
        maintain(storage, 1)
    assert files_with_secret(storage)
    found = expire(storage, dry_run=True)
    assert (found.rows, found.dates, found.bytes > 0) == (10, 1, True)
    assert len(numbers_of(storage)) == 400
    assert expire(storage) == found
    assert numbers_of(storage) == sorted(kept)
    assert search_texts(storage, SECRET) == []
    assert expire(storage) == Removed()
    maintain(storage, 1)
    assert numbers_of(storage) == sorted(kept)
    assert files_with_secret(storage) == []
    assert search_texts(storage, "399") == ["number 399"]


@pytest.mark.parametrize(
    ("retention", "importance"),
    [
        ({"memories": 5.0}, {}),
        ({"memories": 5.0, "memories/a": 2.5, "memories/it's": 0.0}, {"a": 0.3}),
        ({"memories/a": 2.0, "memories/it's": 100.0}, {"*": 0.3, "it's": 0.0}),
        ({"memories": 1e9}, {"it's": 0.3}),
        ({"events": 2.0}, {}),
    ],
)
def test_the_condition_and_the_mask_select_the_same_memories(
    tmp_path: Path, retention: dict[str, float], importance: dict[str, float]
) -> None:
    storage, today = Storage(str(tmp_path)), NEW.date()
    table = vector_table(storage)
    midnight = datetime.combine(today, time(), UTC)
    moments = [
        midnight - timedelta(days=day) - moment
        for day in range(7)
        for moment in (timedelta(0), timedelta(microseconds=1))
    ]
    choices = itertools.product(moments, ("a", "it's", "other", None), (0.2, 0.3, None))
    rows = [
        memory_rows([n], kafka_ts=at, namespace=name, importance=value)
        for n, (at, name, value) in enumerate(choices)
    ]
    table.merge(pa.concat_tables(rows))
    settings = MaintenanceSettings(
        retention=retention, memories_importance_min=importance
    )
    expiry = memory_expiry(settings, today)
    opened = generations.open_table(generations.connect(storage), 1)
    assert opened is not None
    stored = opened.search().to_arrow()
    selected = set(opened.search().where(expiry.sql).to_arrow()["id"].to_pylist())
    assert set(stored.filter(expiry.mask(stored))["id"].to_pylist()) == selected
    for row in stored.drop_columns(["vector"]).to_pylist():
        name = row["namespace"]
        days = retention.get(f"memories/{name}", retention.get("memories", 0.0))
        # The same days as those of other tables.
        is_old = 0 < days <= (today - row["kafka_ts"].date()).days - 1
        least = importance.get(name, importance.get("*", 0.0))
        is_unimportant = (row["importance"] or 1.0) < least
        assert (row["id"] in selected) == (is_old or is_unimportant)


def test_the_most_important_and_then_the_newest_memories_are_kept(
    lake_settings: Settings,
) -> None:
    storage = Storage.of(lake_settings)
    table = vector_table(storage)
    # Two of each importance, the first one older; one without importance is as 0.5.
    for n, importance in enumerate((0.1, None, 0.5, 0.9)):
        for first, name in ((0, "a"), (100, "b"), (200, "c")):
            for copy, at in enumerate((OLD, NEW)):
                number = first + 2 * n + copy
                columns = {"namespace": name, "importance": importance}
                table.merge(memory_rows([number], kafka_ts=at, **columns))  # type: ignore[arg-type]
    maintain(storage, 1)
    counts_max = {"a": 4, "b": 0, "*": 3}
    for dry_run in (True, False):
        removed = remove_expired(storage, 1, NONE, counts_max, 30.0, dry_run=dry_run)
        assert removed is not None
        assert removed.rows == 4 + 5
    # The newer one of equally important ones; then the larger id.
    assert numbers_of(storage) == [3, 5, 6, 7, *range(100, 108), 205, 206, 207]
    assert remove_expired(storage, 1, NONE, counts_max, 30.0) == Removed()


def test_a_reindex_leaves_the_marks_of_the_memories_that_are_current(
    tmp_path: Path,
) -> None:
    storage = Storage(str(tmp_path))
    vector_table(storage, generation=2)
    mark = f"{MARKS}/1-killed"
    storage.replace(mark, b"")
    # The flow `memory` has not switched, so there are still readers of generation 1.
    remove_expired(storage, 2, NONE, {}, 30.0)
    assert [file.name for file in stored_files(storage, MARKS)] == [mark]


def test_a_table_of_which_all_memories_expire_can_be_written_again(
    tmp_path: Path,
) -> None:
    storage = Storage(str(tmp_path))
    table = vector_table(storage)
    table.merge(memory_rows(range(400), kafka_ts=OLD, text=SECRET, words=SECRET))
    maintain(storage, 1)
    assert expire(storage).rows == 400
    maintain(storage, 1)
    assert (numbers_of(storage), files_with_secret(storage)) == ([], [])
    table.merge(memory_rows([7], kafka_ts=NEW))
    assert numbers_of(storage) == [7]
    assert search_texts(storage, "7") == ["number 7"]
    assert maintain(storage, 1) is not None


def test_a_table_that_does_not_exist_has_no_expired_memories(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    assert remove_expired(storage, 1, CONDITION, {}, 1.0) is None
    assert not (tmp_path / "memories").exists()


@pytest.mark.parametrize("before", ["move", "expire"])
def test_a_compaction_between_two_steps_hides_no_expired_memory_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    storage = Storage(str(tmp_path))
    kept = written(storage)
    run_step, turns = maintenance.run_step, iter(range(1))

    def compacted(*args: Any) -> None:
        *_, name, _ = args
        for _ in turns if name == before else ():
            maintain(storage, 1)
        run_step(*args)

    monkeypatch.setattr(expired_memories, "run_step", compacted)
    expire(storage)
    assert list(turns) == []
    maintain(storage, 1)
    assert numbers_of(storage) == sorted(kept)
    assert files_with_secret(storage) == []


def test_rows_that_a_flow_writes_meanwhile_are_neither_lost_nor_repeated(
    lake_settings: Settings,
) -> None:
    storage = Storage.of(lake_settings)
    kept = written(storage)
    done, numbers = threading.Event(), set(kept)

    def write() -> None:
        table = vector_table(storage)
        for first in range(1_000, 10_000, 5):
            # Some of an earlier commit again, as after a crash.
            own = range(first - 3 if first > 1_000 else first, first + 5)
            table.merge(memory_rows(own, writer=2, kafka_ts=NEW))
            numbers.update(own)
            if done.wait(0.2):  # a flow pauses, else a merge of files never succeeds
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert expire(storage).rows == 10
        maintain(storage, 1)
    finally:
        done.set()
        writer.join()
    assert numbers_of(storage) == sorted(numbers)


# Kills itself before or after a request or a step.
KILLED = """
import os, signal, sys
from datetime import timedelta
from semloop.settings import load
from semloop.storage.location import Storage
from sinks.vectors import expired_memories, maintenance
left = iter(range(int(sys.argv[1])))
def dying(function):
    def step(*args):
        if next(left, "end") == "end":
            os.kill(os.getpid(), signal.SIGKILL)
        done = function(*args)
        if next(left, "end") == "end":
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return step
for name in ("run_step", "remove_files"):
    setattr(expired_memories, name, dying(getattr(expired_memories, name)))
Storage.replace = dying(Storage.replace)
expired_memories.remove_expired(Storage.of(load()), 1, sys.argv[2], {}, 30.0)
"""
# Mark, move, expire, ten indexes, marks: 14 in all, with a moment before and after.
MOMENTS = range(28)
DELETED = 5
IN_CI = {3, DELETED + 1}


@pytest.mark.process
@pytest.mark.parametrize(
    "moment",
    [n if n in IN_CI else pytest.param(n, marks=pytest.mark.storm) for n in MOMENTS],
)
def test_the_run_after_a_kill_finishes(settings: Settings, moment: int) -> None:
    storage = Storage.of(settings)
    kept = written(storage)
    maintain(storage, 1)
    command = [sys.executable, "-c", KILLED, str(moment), CONDITION]
    done = subprocess.run(command, env=environment(settings), cwd=ROOT, timeout=120)
    assert done.returncode == -9
    is_deleted = moment >= DELETED
    assert numbers_of(storage) == (sorted(kept) if is_deleted else [*range(400)])
    expire(storage)
    assert numbers_of(storage) == sorted(kept)
    assert list(stored_files(storage, MARKS)) == []
    maintain(storage, 1)
    assert files_with_secret(storage) == []
