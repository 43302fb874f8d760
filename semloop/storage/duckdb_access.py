"""DuckDB connections that can read a lake, and the keys that they hold."""

from typing import TYPE_CHECKING

from semloop.extras import extension, need
from semloop.sql_text import quoted
from semloop.storage import object_store
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Files of an object store that are read at a time.
READERS = 8


def delta_reader(storage: Storage) -> "DuckDBPyConnection":
    """An in-memory DuckDB that can read the Delta tables of a lake.

    Extensions are loaded from their PyPI wheels: nothing is downloaded.

    Raises:
        MissingExtra: DuckDB or an extension is not installed.
    """
    con: DuckDBPyConnection = need("duckdb").connect()
    con.execute("SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'")
    _load_httpfs(storage, con)
    con.execute(f"LOAD {quoted(extension('delta'))}")
    return con


def parquet_reader(storage: Storage) -> "DuckDBPyConnection":
    """An in-memory DuckDB for plain Parquet files of a lake."""
    con: DuckDBPyConnection = need("duckdb").connect()
    con.execute("SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'")
    _load_httpfs(storage, con)
    if storage.on_s3:
        # Small files, one after the other in each thread: most of it is waiting.
        con.execute(f"SET threads = {READERS}")
    return con


def renew_keys(storage: Storage, con: "DuckDBPyConnection") -> None:
    """Replace temporary keys of a DuckDB connection by those that are valid now.

    To be called before a query; a query that runs keeps those that it opened with.

    Raises:
        LakeError: there are no keys. StorageUnavailable: not now.
    """
    if storage.credentials is not None:
        secret = object_store.duckdb_secret(storage.root, storage.current_options)
        # Secrets are of the whole database; a transaction of the caller's is not
        # touched.
        with con.cursor() as cursor:
            cursor.execute(secret)


def init_statements(storage: Storage) -> list[str]:
    """The statements that let any DuckDB 1.5.5 read a lake; they have no keys.

    DuckDB takes them from the AWS chain, as it reads that.
    """
    statements = ["SET TimeZone = 'UTC'"]
    names = ["httpfs", "aws", "delta"] if storage.on_s3 else ["delta"]
    statements += [f"LOAD {quoted(extension(name))}" for name in names]
    if storage.on_s3:
        options = object_store.without_keys(storage.options)
        statements += object_store.duckdb_settings(options)
        statements.append(object_store.duckdb_secret(storage.root, options))
    return statements


def _load_httpfs(storage: Storage, con: "DuckDBPyConnection") -> None:
    if storage.on_s3:
        con.execute(f"LOAD {quoted(extension('httpfs'))}")
        for sql in object_store.duckdb_settings(storage.options):
            con.execute(sql)
        con.execute(object_store.duckdb_secret(storage.root, storage.current_options))
