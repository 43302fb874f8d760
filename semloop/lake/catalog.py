"""The views of a lake in a DuckDB: stored tables, memories, documented views."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from semloop import tables
from semloop.lake import lance_view
from semloop.lake.columns import comment_if_queried, comment_statements
from semloop.lake.cost_tables import cost_statements
from semloop.lake.raw_views import RawViews
from semloop.settings.cost_section import CostSettings
from semloop.storage import duckdb_access
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from semloop.lake.recall.episodes import Episodes

VIEWS_FOLDER = Path(__file__).with_name("views")
# Schema of the tables as they are stored; the documented views are in the main schema.
RAW_SCHEMA = "tables"
RAW_MEMORIES = f"{RAW_SCHEMA}.memories"
# How far they are visible, which the log of `episodes` has.
POSITIONS = f"{RAW_SCHEMA}.memory_positions"


class Catalog:
    """Creates the views and keeps them current, for one thread at a time.

    Args:
        connection: a connection to the database; the catalog uses a cursor of its own.
        storage: the lake.
        episodes: returns the state of the memories, None without any.
        costs: what tokens cost, and whose the namespaces are.
    """

    def __init__(
        self,
        connection: "DuckDBPyConnection",
        storage: Storage,
        episodes: "Callable[[], Episodes | None]",
        costs: CostSettings,
    ) -> None:
        """Create all views."""
        self._storage, self._episodes = storage, episodes
        self._lock = threading.Lock()
        self._cursor = connection.cursor()
        self._cursor.execute(f"CREATE SCHEMA {RAW_SCHEMA}")
        self._raw_views = RawViews(self._cursor, storage, RAW_SCHEMA)
        # DuckDB binds a view when it is created: to empty tables that takes a
        # millisecond, to stored ones three.
        self._raw_views.create_empty()
        self._cost_tables = cost_statements(costs, RAW_SCHEMA)
        # Statements of the views of memories; none until they are loaded.
        self._shown: list[str] = []
        self._cursor.execute(lance_view.empty_view(RAW_MEMORIES, loaded=False))
        self._cursor.execute(lance_view.positions_view(POSITIONS, ()))
        self._cursor.execute("\n;".join([*self._cost_tables, *_view_statements()]))
        self._raw_views.refresh()
        self._commented = False

    def prepare(self, query: str) -> None:
        """Bring the views that a query may read up to date.

        Raises:
            StorageUnavailable: the object store does not answer.
        """
        with self._lock:
            self._raw_views.refresh()
            if not self._commented:
                self._commented = comment_if_queried(self._cursor, query)
            if lance_view.names_memories(query):
                self._show_memories()
            self._raw_views.check_store()

    def init_statements(self) -> list[str]:
        """Return statements, without keys, that create the views in any DuckDB."""
        statements = duckdb_access.init_statements(self._storage)
        statements.append(f"CREATE SCHEMA IF NOT EXISTS {RAW_SCHEMA}")
        with self._lock:
            statements += [
                self._raw_views.statement(table)[0] for table in tables.DELTA_TABLES
            ]
        statements += lance_view.load_statements(self._storage, reveal=False)
        statements += self._memory_views()
        statements += self._cost_tables
        return [*statements, *_view_statements(), *comment_statements()]

    def close(self) -> None:
        """Close the cursor."""
        self._cursor.close()

    def _show_memories(self) -> None:
        """Create the views on the current generation that differ from those before."""
        if not self._shown:
            for statement in lance_view.load_statements(self._storage, reveal=True):
                self._cursor.execute(statement)
        statements = self._memory_views()
        for statement in statements:
            if statement not in self._shown:
                self._cursor.execute(statement)
        self._shown = statements

    def _memory_views(self) -> list[str]:
        episodes = self._episodes()
        if episodes is None:
            shown = lance_view.empty_view(RAW_MEMORIES, loaded=True)
            return [shown, lance_view.positions_view(POSITIONS, ())]
        return [
            lance_view.generation_view(
                RAW_MEMORIES, self._storage, episodes.generation
            ),
            lance_view.positions_view(POSITIONS, episodes.positions),
        ]


def view_questions() -> dict[str, str]:
    """Return the views by name, each with the question that it answers."""
    return {
        name: query.splitlines()[0].removeprefix("--").strip()
        for name, query in _view_queries().items()
    }


def _view_statements() -> list[str]:
    queries = _view_queries().items()
    return [f"CREATE OR REPLACE VIEW {name} AS\n{query}" for name, query in queries]


def _view_queries() -> dict[str, str]:
    return {
        file.stem: file.read_text("utf-8").strip()
        for file in sorted(VIEWS_FOLDER.glob("*.sql"))
    }
