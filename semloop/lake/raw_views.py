"""DuckDB views on the Delta tables of a lake, created as the tables appear."""

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from semloop import tables
from semloop.extras import need
from semloop.sql_text import quoted
from semloop.storage.duckdb_access import renew_keys
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# DuckDB waits three minutes for an unavailable object store. So a client with shorter
# timeouts checks it before a query, at most once per interval.
CHECK_INTERVAL_S = 5.0


class RawViews:
    """One view per table; empty, with the table's columns, until the table exists."""

    def __init__(
        self, connection: "DuckDBPyConnection", storage: Storage, schema: str
    ) -> None:
        """Create no views yet.

        Args:
            connection: connection to create the views in.
            storage: the lake.
            schema: existing schema of the views.
        """
        self._connection = connection
        self._storage = storage
        self._schema = schema
        # Tables that do not exist yet or lack columns of this version.
        self._incomplete = set(tables.DELTA_TABLES)
        self._checked_s = time.monotonic()

    def create_empty(self) -> None:
        """Create the views without rows, and without a look at the storage."""
        for table in tables.DELTA_TABLES:
            columns = tables.TABLES[table].columns.items()
            typed = (f"NULL::{kind} AS {name}" for name, kind in columns)
            self._connection.execute(self._view(table, typed, " LIMIT 0"))

    def refresh(self) -> None:
        """Renew the keys, and create the views of incomplete tables again."""
        renew_keys(self._storage, self._connection)
        for table in sorted(self._incomplete):
            if self._create(table):
                self._incomplete.discard(table)

    def _create(self, table: str) -> bool:
        """Create the view of a table; return True if all columns exist."""
        columns = tables.TABLES[table].columns
        if self._has(table):
            # Almost always they do, and to describe the table takes as long as this.
            with suppress(need("duckdb").BinderException):
                self._connection.execute(self._view(table, columns, self._scan(table)))
                return True
        statement, complete = self.statement(table)
        self._connection.execute(statement)
        return complete

    def check_store(self) -> None:
        """Check that the object store answers, at most every `CHECK_INTERVAL_S`.

        Raises:
            StorageUnavailable: it does not answer.
        """
        due = time.monotonic() - self._checked_s > CHECK_INTERVAL_S
        if self._storage.on_s3 and due:
            self._has(tables.DELTA_TABLES[0])

    def statement(self, table: str) -> tuple[str, bool]:
        """Return the statement for a table's view, and True if all columns exist.

        Columns are named, since a view on `*` breaks when the table gets a new one.
        Columns that an older table lacks are NULL.
        """
        columns = tables.TABLES[table].columns
        stored: set[str] = set()
        source = ""
        if self._has(table):
            source = self._scan(table)
            described = self._connection.sql(f"DESCRIBE SELECT *{source}").fetchall()
            stored = {str(row[0]) for row in described}
        parts = [
            name if name in stored else f"NULL::{kind} AS {name}"
            for name, kind in columns.items()
        ]
        statement = self._view(table, parts, source or " LIMIT 0")
        return statement, stored.issuperset(columns)

    def _view(self, table: str, columns: Iterable[str], source: str) -> str:
        selected = f"SELECT {', '.join(columns)}{source}"
        return f"CREATE OR REPLACE VIEW {self._schema}.{table} AS {selected}"

    def _scan(self, table: str) -> str:
        return f" FROM delta_scan({quoted(self._storage.uri(table))})"

    def _has(self, table: str) -> bool:
        exists = self._storage.has(table)
        self._checked_s = time.monotonic()
        return exists
