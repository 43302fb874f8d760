"""Views of DuckDB over the Delta tables of a lake, made as the tables appear."""

import time
from typing import TYPE_CHECKING

from semloop import tables
from semloop.sql_text import quoted
from semloop.storage.duckdb_access import renew_keys
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# DuckDB waits three minutes for an object store that is gone. Whether it is there is
# asked before a query, by a client with shorter time-outs, but not more often.
CHECK_INTERVAL_S = 5.0


class RawViews:
    """One view a table; empty, with the columns of the table, while that is absent."""

    def __init__(
        self, connection: "DuckDBPyConnection", storage: Storage, schema: str
    ) -> None:
        """No view is made yet.

        Args:
            connection: where the views are.
            storage: the lake.
            schema: of the views, which is there.
        """
        self._connection = connection
        self._storage = storage
        self._schema = schema
        # Tables whose view is not final: absent, or older than this program.
        self._incomplete = set(tables.DELTA_TABLES)
        self._asked_s = time.monotonic()

    def refresh(self) -> None:
        """Renew the keys, and make the view of each table that is new or incomplete."""
        renew_keys(self._storage, self._connection)
        for table in sorted(self._incomplete):
            statement, complete = self.statement(table)
            self._connection.execute(statement)
            if complete:
                self._incomplete.discard(table)

    def check_store(self) -> None:
        """Make sure, now and then, that the object store answers.

        Raises:
            StorageUnavailable: it does not; a query would wait for it longer.
        """
        late = time.monotonic() - self._asked_s > CHECK_INTERVAL_S
        if self._storage.on_s3 and late:
            self._has(tables.DELTA_TABLES[0])

    def statement(self, table: str) -> tuple[str, bool]:
        """The statement that makes a table's view; whether it is final.

        Columns are named, since a view over `*` breaks when the table gets one. Those
        that an older table lacks are NULL.
        """
        columns = tables.TABLES[table].columns
        stored: set[str] = set()
        source = ""
        if self._has(table):
            source = f" FROM delta_scan({quoted(self._storage.uri(table))})"
            described = self._connection.sql(f"DESCRIBE SELECT *{source}").fetchall()
            stored = {str(row[0]) for row in described}
        parts = [
            name if name in stored else f"NULL::{kind} AS {name}"
            for name, kind in columns.items()
        ]
        selected = f"SELECT {', '.join(parts)}{source or ' LIMIT 0'}"
        statement = f"CREATE OR REPLACE VIEW {self._schema}.{table} AS {selected}"
        return statement, stored.issuperset(columns)

    def _has(self, table: str) -> bool:
        found = self._storage.has(table)
        self._asked_s = time.monotonic()
        return found
