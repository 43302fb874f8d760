"""Which queries load DuckDB's extension for Lance, which takes a second."""

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
        # DuckDB cannot say of these.
        "SELECT 1; FROM memories",
        "SELECT * FROM memories, recall('x')",
    ],
)
def test_a_query_that_reads_memories_is_known(query: str) -> None:
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
def test_a_word_that_is_no_table_loads_nothing(query: str) -> None:
    assert not names_memories(query)
