"""Asking for ids that are stored as pseudonyms, with and without the lake's key."""

import shutil
from pathlib import Path

import duckdb
import pytest

from semloop import Lake
from semloop.errors import ConfigError
from semloop.redaction.factory import redactor_of
from semloop.settings import Settings
from semloop.storage.key_rotation import rotate
from semloop.storage.location import Storage
from semloop.storage.redaction_key import writer_key
from tests.semloop.recall.a_memory_lake import (
    MemoryLake,
    a_memory_lake,
    a_message,
    closed,
    texts,
)

pytestmark = pytest.mark.slow

ANN, CHAT = "ann@example.com", "chat-of-ann@example.com"


def stored(settings: Settings, text: str) -> str:
    """Return a text as the flow `archive` stores it."""
    key = writer_key(settings, Storage.of(settings))
    return redactor_of(key, settings.redaction).text(text)


@pytest.fixture
def lake(tmp_path: Path) -> MemoryLake:
    """A lake with a message of Ann, in a session with her address as its id."""
    lake = a_memory_lake(tmp_path)
    settings = lake.settings
    lake.remember(
        a_message(
            "a window seat",
            session_id=stored(settings, CHAT),
            user_id=stored(settings, ANN),
        ),
        a_message("an aisle seat", "2", user_id="u-7"),
    )
    lake.commit()
    return lake


def test_recall_finds_the_rows_of_an_original_id(lake: MemoryLake) -> None:
    with lake.open() as opened:
        assert texts(opened.recall("seat", user=ANN)) == ["a window seat"]
        assert texts(opened.recall("seat", session=CHAT)) == ["a window seat"]
        assert texts(opened.recall("seat", user="u-7")) == ["an aisle seat"]
        assert texts(opened.recall("seat", user="bob@example.com")) == []
        rows = opened.sql(f"SELECT text FROM recall('seat', \"user\" := '{ANN}')")
        assert rows.fetchall() == [("a window seat",)]


def test_sql_has_a_function_for_the_pseudonym(lake: MemoryLake) -> None:
    with lake.open() as opened:
        query = "SELECT count(*) FROM memories WHERE user_id = pseudonym($who)"
        assert opened.sql(query, {"who": ANN}).fetchall() == [(1,)]
        assert opened.sql(query, {"who": "u-7"}).fetchall() == [(1,)]
        (row,) = opened.sql("SELECT pseudonyms('ann@example.com')").fetchall()
        assert row[0] == opened.pseudonyms(ANN)
        assert opened.pseudonyms(row[0][0]) == row[0]


def test_private_parts_of_a_query_are_searched_as_pseudonyms(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path)
    name = stored(lake.settings, ANN)
    lake.remember(a_message(f"write to {name}"), a_message("write to nobody", "2"))
    lake.commit()
    with lake.open() as opened:
        best = opened.recall(f"message for {ANN}", k=1)
        assert texts(best) == [f"write to {name}"]


def test_without_the_key_an_original_id_is_refused(lake: MemoryLake) -> None:
    pseudonym = stored(lake.settings, ANN)
    shutil.rmtree(Path(lake.settings.lake) / "_local")
    with lake.open() as opened:
        with pytest.raises(ConfigError, match="stored as a pseudonym") as caught:
            opened.recall("seat", user=ANN)
        assert "SEMLOOP_REDACTION_KEY" in caught.value.todo
        with pytest.raises(duckdb.Error, match="stored as a pseudonym"):
            opened.sql("SELECT pseudonym('ann@example.com')").fetchall()
        assert texts(opened.recall("seat", user=pseudonym)) == ["a window seat"]
        assert texts(opened.recall("seat", user="u-7")) == ["an aisle seat"]


def test_the_pseudonyms_under_earlier_keys_are_found_too(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path)
    name = stored(lake.settings, ANN)
    lake.remember(a_message("a window seat", user_id=name))
    lake.commit(closed(user_id=name, users=[name]))
    rotate(lake.settings, lake.storage)
    with Lake(settings=lake.settings) as opened:
        assert len(opened.pseudonyms(ANN)) == 2
        assert texts(opened.recall("seat", user=ANN)) == ["a window seat"]
