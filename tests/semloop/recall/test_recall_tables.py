"""`Lake.recall` on tables of an earlier version, and on tables that change meanwhile."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas import arrow
from semloop import Lake
from semloop.errors import LakeError, StorageUnavailable
from semloop.lake import generations
from semloop.lake.recall import searches
from semloop.lake.recall.search_engine import RowsMoved
from semloop.settings import load
from sinks.vectors import maintenance
from sinks.vectors.commit_check import versions
from tests.semloop.recall.a_memory_lake import (
    MemoryLake,
    a_memory_lake,
    a_message,
    texts,
)

pytestmark = pytest.mark.slow


def test_memories_of_an_earlier_version_are_refused(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip"))
    connection = generations.connect(lake.storage)
    table = generations.open_table(connection, generations.FIRST_GENERATION)
    assert table is not None
    table.drop_columns(["features"])
    with lake.open() as opened, pytest.raises(LakeError, match="earlier version"):
        opened.recall("trip")


def test_memories_without_our_terms_are_refused(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip"))
    connection = generations.connect(lake.storage)
    table = generations.open_table(connection, generations.FIRST_GENERATION)
    assert table is not None
    table.drop_columns(["words"])
    with (
        lake.open() as opened,
        pytest.raises(LakeError, match="other columns") as error,
    ):
        opened.recall("trip")
    assert "maintain reindex" in error.value.todo


def test_episodes_of_an_earlier_version_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip"))
    shutil.rmtree(tmp_path / "episodes")
    column = arrow.EPISODES.get_field_index("users")
    monkeypatch.setattr(arrow, "EPISODES", arrow.EPISODES.remove(column))
    lake.commit()
    with lake.open() as opened:
        for ask in (lambda: opened.recall("trip"), opened.has_memories):
            with pytest.raises(LakeError, match="earlier version"):
                ask()


def test_recall_follows_a_table_that_was_replaced_and_dropped(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip one"))
    with Lake(settings=lake.settings, stale_s=3_600) as opened:
        assert texts(opened.recall("trip")) == ["trip one"]
        second = MemoryLake(lake.settings, generation=2)
        second.remember(a_message("trip two"))
        second.commit()
        generations.connect(lake.storage).drop_table(generations.table_name(1))
        assert texts(opened.recall("trip")) == ["trip two"]


def test_recall_answers_after_its_version_of_the_table_was_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "VERSION_RETENTION", timedelta(milliseconds=1))
    monkeypatch.setattr(maintenance, "VERSION_AGE_MAX", timedelta(0))
    lake = a_memory_lake(tmp_path, *(a_message(f"trip {n}") for n in range(12)))
    with Lake(settings=lake.settings, stale_s=3_600) as opened:
        before = opened.recall("trip 7")
        named = "SELECT text FROM memories ORDER BY ALL"
        rows = opened.sql(named).fetchall()
        known = {*versions(lake.storage, 1)}
        for _ in range(2):
            maintenance.maintain(lake.storage, 1)
        assert not known & {*versions(lake.storage, 1)}
        assert opened.recall("trip 7").equals(before)
        assert opened.sql(named).fetchall() == rows


def test_memories_that_move_during_each_attempt_are_reported_in_two_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move(*_: Any) -> None:
        msg = "5 rows have moved"
        raise RowsMoved(msg)

    lake = a_memory_lake(tmp_path, a_message("trip"))
    monkeypatch.setattr(searches.MemoryTable, "rows", move)
    with lake.open() as opened, pytest.raises(StorageUnavailable) as caught:
        opened.recall("trip")
    assert caught.value.todo == "Try again."


def test_memories_of_another_embedder_are_refused(tmp_path: Path) -> None:
    a_memory_lake(tmp_path, a_message("trip"))
    with (
        Lake(settings=load(lake=str(tmp_path), embedder="minilm")) as opened,
        pytest.raises(LakeError, match="vectors of hashing") as caught,
    ):
        opened.recall("trip")
    assert "semloop maintain reindex" in caught.value.todo
