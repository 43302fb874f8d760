"""Which queries read memories and therefore ask the store for their generation."""

import pytest

from semloop.lake.lance_view import names_memories


@pytest.mark.parametrize(
    "query",
    [
        "FROM memories",
        "from Memories",
        "FROM tables.memories -- the stored ones",
        'SELECT * FROM (FROM "memories") WHERE true',
        "SELECT (SELECT count(*) FROM memories)",
        "CREATE TABLE mine AS FROM memories",
        "COPY memories TO 'x.csv'",
        "SUMMARIZE memories",
        # DuckDB does not list the tables of these.
        "SELECT 1; FROM memories",
        "SELECT * FROM memories, recall('x')",
    ],
)
def test_a_query_that_reads_memories_is_recognized(query: str) -> None:
    assert names_memories(query)


@pytest.mark.parametrize(
    "query",
    [
        "FROM events",
        "SELECT 'memories'",
        "/* memories */ FROM events -- of memories",
        "WITH memories AS (SELECT 1 AS n) FROM memories",
    ],
)
def test_the_word_memories_is_not_recognized_unless_it_is_a_table(query: str) -> None:
    assert not names_memories(query)
