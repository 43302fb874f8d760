"""DuckDB connections that can read a lake, and the renewal of their keys."""

from typing import TYPE_CHECKING

from semloop.extras import extension, need
from semloop.sql_text import quoted
from semloop.storage import object_store
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Threads that read files of an object store.
READERS = 8


def lake_reader(storage: Storage) -> "DuckDBPyConnection":
    """Open an in-memory DuckDB that can read the Delta and Lance tables of a lake.

    Extensions are loaded from their PyPI wheels, without a download.

    Raises:
        MissingExtra: DuckDB or an extension is not installed.
    """
    return _connected(storage, "delta", "lance")


def parquet_reader(storage: Storage) -> "DuckDBPyConnection":
    """Open an in-memory DuckDB for plain Parquet files of a lake."""
    con = _connected(storage)
    if storage.on_s3:
        # The files are small, so the threads mostly wait for the object store.
        con.execute(f"SET threads = {READERS}")
    return con


def renew_keys(storage: Storage, con: "DuckDBPyConnection") -> None:
    """Replace the temporary keys of a DuckDB connection by currently valid ones.

    Call it before each query; a running query uses the keys that it started with.

    Raises:
        LakeError: AWS refuses to issue keys.
        StorageUnavailable: the issuer of the keys does not answer.
    """
    if storage.credentials is not None:
        secret = object_store.duckdb_secret(storage.root, storage.current_options)
        # Secrets belong to the database; a cursor keeps the statement out of the
        # caller's transaction.
        with con.cursor() as cursor:
            cursor.execute(secret)


def init_statements(storage: Storage) -> list[str]:
    """Return statements that let any DuckDB 1.5.5 read a lake; they contain no keys.

    DuckDB gets keys from its own implementation of the AWS chain.
    """
    statements = ["SET TimeZone = 'UTC'"]
    names = ["httpfs", "aws", "delta"] if storage.on_s3 else ["delta"]
    statements += [f"LOAD {quoted(extension(name))}" for name in names]
    if storage.on_s3:
        options = object_store.without_keys(storage.options)
        statements += object_store.duckdb_settings(options)
        statements.append(object_store.duckdb_secret(storage.root, options))
    return statements


def _connected(storage: Storage, *extensions: str) -> "DuckDBPyConnection":
    """Open an in-memory DuckDB with extensions; on S3, with access to the lake."""
    # DuckDB verifies a signature by hashing the whole file, at each start: 0.2 s for
    # the extension delta, 0.7 s for lance. Ours come in the same way as DuckDB itself,
    # as wheels whose hashes pip verifies. For all other extensions the check is on
    # again below, and a running database does not let it be switched off.
    unverified = {"allow_unsigned_extensions": "true"}
    con: DuckDBPyConnection = need("duckdb").connect(config=unverified)
    con.execute("SET autoinstall_known_extensions = false")
    # Global: cursors do not inherit the settings of a connection.
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    names = ("httpfs", *extensions) if storage.on_s3 else extensions
    for name in names:
        con.execute(f"LOAD {quoted(extension(name))}")
    con.execute("SET allow_unsigned_extensions = false")
    if storage.on_s3:
        for sql in object_store.duckdb_settings(storage.options):
            con.execute(sql)
        con.execute(object_store.duckdb_secret(storage.root, storage.current_options))
    return con
