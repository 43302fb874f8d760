"""The view `memories` and the function `embed`."""

from pathlib import Path

import duckdb
import pytest

from tests.semloop.recall.a_memory_lake import a_memory_lake, a_message


def test_embed_returns_the_vector_of_a_text(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip"))
    with lake.open() as opened:
        query = (
            "SELECT list_cosine_similarity(vector, embed('booker: trip')), embed(NULL) "
            "FROM memories"
        )
        assert opened.sql(query).fetchall() == [(pytest.approx(1), None)]


def test_only_a_query_that_names_memories_loads_the_view(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip"), a_message("and back"))
    with lake.open() as opened:
        with pytest.raises(duckdb.Error, match=r"loaded by a query of Lake\.sql"):
            opened.connection.sql("FROM memories").fetchall()
        rows = opened.sql("SELECT text, context, len(vector) FROM memories").fetchall()
        assert sorted(rows) == [("and back", "trip", 256), ("trip", None, 256)]


def test_init_sql_shows_the_memories_in_a_plain_duckdb(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip"))
    with lake.open() as opened:
        statements = opened.init_sql()
    # With signatures, which take a second, `tests/semloop/test_lake.py` does the same.
    con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for statement in statements:
        con.execute(statement)
    assert con.sql("SELECT text FROM memories").fetchall() == [("trip",)]
