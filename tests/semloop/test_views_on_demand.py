"""Views that are created when a query reads them are there for every query."""

from pathlib import Path

import pytest

from semloop import Lake
from tests.operators.event_rows import event_row
from tests.semloop.written_lake import write

VIEWS = {"dead_letters", "episodes", "events", "memories", "running_calls", "sessions"}
COUNT = "SELECT count(*) FROM events"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two events of a session."""
    folder = tmp_path_factory.mktemp("lake")
    write(folder, [event_row("message"), event_row("completion", at_s=1)])
    return folder


@pytest.mark.parametrize(
    "query",
    [
        COUNT,
        'SELECT count(*) FROM main."EVENTS"',
        "WITH found AS (FROM events) SELECT count(*) FROM found",
        "SELECT (SELECT count(*) FROM events) FROM sessions",
        "-- of a session\nSELECT count(*) FROM events",
        "SELECT count(*) FROM query_table('events')",
        "SELECT count(*) FROM query('FROM ' || 'events')",
        "SELECT count(*) FROM sessions, query_table('events')",
        "SET VARIABLE x = 1; SELECT count(*) FROM events",
        "CREATE TEMP VIEW mine AS FROM events; SELECT count(*) FROM mine",
        "CREATE MACRO mine() AS TABLE FROM events; SELECT count(*) FROM mine()",
        "PREPARE counted AS SELECT count(*) FROM events; EXECUTE counted",
    ],
)
def test_each_form_of_a_query_reads_its_views(folder: Path, query: str) -> None:
    with Lake(folder) as lake:
        assert lake.sql(query).fetchall() == [(2,)]
        assert lake.sql(COUNT).fetchall() == [(2,)]


def test_a_query_with_parameters_reads_its_views(folder: Path) -> None:
    asked = "'$1?' <> 'x' AND type = "
    with Lake(folder) as lake:
        found = lake.sql(f"{COUNT} WHERE {asked}?", ["message"]).fetchall()
        named = lake.sql(f"{COUNT} WHERE {asked}$kind", {"kind": "message"}).fetchall()
    assert found == named == [(1,)]


def test_a_parameter_may_name_a_view(folder: Path) -> None:
    query = "SELECT count(*) FROM sessions, query_table($name)"
    with Lake(folder) as lake:
        assert lake.sql(query, {"name": "events"}).fetchall() == [(2,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM (SHOW TABLES)",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'",
        "SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal",
        "SELECT view_name FROM duckdb_views(), (SELECT count(*) FROM events)"
        " WHERE schema_name = 'main' AND NOT internal",
    ],
)
def test_lists_of_views_are_complete(folder: Path, query: str) -> None:
    with Lake(folder) as lake:
        lake.sql(COUNT)
        assert {name for (name,) in lake.sql(query).fetchall()} >= VIEWS


def test_the_connection_has_all_views(folder: Path) -> None:
    with Lake(folder) as lake:
        lake.sql(COUNT)
        for view in VIEWS - {"memories"}:
            lake.connection.execute(f"SELECT count(*) FROM {view}").fetchall()


def test_a_name_of_a_view_stays_taken(folder: Path) -> None:
    import duckdb

    with Lake(folder) as lake, pytest.raises(duckdb.CatalogException, match="sessions"):
        lake.sql("CREATE TABLE sessions AS FROM events")
