"""The DuckDB database of a lake, opened on first use: recall does not need it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from semloop.errors import LakeError
from semloop.lake.private_ids import PrivateIds
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from semloop.lake.catalog import Catalog
    from semloop.lake.recall.engine import RecallEngine
    from semloop.lake.recall.episodes import Episodes


class Database:
    """An in-memory DuckDB with the views and functions of a lake, safe in threads.

    Args:
        settings: the lake, and what its views show of the settings.
        engine: returns its engine of recall; called when a query needs it.
        ids: finds stored pseudonyms by the originals.
    """

    def __init__(
        self, settings: Settings, engine: "Callable[[], RecallEngine]", ids: PrivateIds
    ) -> None:
        self._settings, self._storage = settings, Storage.of(settings)
        self._engine, self._ids = engine, ids
        self._owner = threading.get_ident()
        self._lock = threading.Lock()
        self._opened: tuple[DuckDBPyConnection, Catalog] | None = None
        self._closed = False

    def open(self) -> "tuple[DuckDBPyConnection, Catalog]":
        """Return the connection, the same at each call, and the views.

        Raises:
            LakeError: the lake cannot be read, or is closed.
            StorageUnavailable: the object store does not answer.
            MissingExtra: DuckDB or an extension is not installed.
        """
        with self._lock:
            if self._closed:
                msg = "The lake is closed."
                raise LakeError(msg, "Open it again with `Lake`.")
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def sql(
        self,
        query: str,
        params: Sequence[object] | Mapping[str, object] | None,
        *,
        execute: bool,
    ) -> "DuckDBPyRelation":
        """Run a query, in other threads than the opening one on its own connection.

        Args:
            query: DuckDB SQL.
            params: values for `?` or `$name`.
            execute: compute the whole result now; a relation is a plan, which its
                reader would execute.
        """
        connection, catalog = self.open()
        catalog.prepare(query)
        if threading.get_ident() != self._owner:
            # The relation keeps it open.
            connection = connection.cursor()
        # Despite the stubs, None after a statement without a result such as SET x = 1.
        relation = cast("DuckDBPyRelation | None", connection.sql(query, params=params))
        if relation is None:
            return connection.sql("SELECT true AS done LIMIT 0")
        return relation.execute() if execute else relation

    def interrupt(self) -> None:
        """Stop the query that runs in the connection, if there is one."""
        with self._lock:
            if self._opened is not None:
                self._opened[0].interrupt()

    def close(self) -> None:
        """Close the connection; results that were not fetched are lost."""
        with self._lock:
            opened, self._opened, self._closed = self._opened, None, True
        if opened is not None:
            connection, catalog = opened
            catalog.close()
            connection.close()

    def _open(self) -> "tuple[DuckDBPyConnection, Catalog]":
        from semloop.lake import private_ids
        from semloop.lake.catalog import Catalog
        from semloop.lake.recall import macro
        from semloop.storage.duckdb_access import lake_reader

        connection = lake_reader(self._storage)
        # Unknown table names are errors, never references to Python variables.
        connection.execute("SET GLOBAL python_enable_replacements = false")
        catalog = Catalog(
            connection, self._storage, self._episodes, self._settings.costs
        )
        macro.define(connection, self._engine)
        private_ids.define(connection, self._ids)
        return connection, catalog

    def _episodes(self) -> "Episodes | None":
        return self._engine().episodes()
