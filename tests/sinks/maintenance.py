"""Maintenance operations that users run on a table while a flow writes it."""

from collections.abc import Callable
from urllib.parse import unquote, urlparse

import duckdb
from deltalake import DeltaTable, write_deltalake

from semloop.settings import load
from semloop.storage.location import Storage
from tests.sinks.compacting import compact
from tests.sinks.sink_contract import foreign_commit


def rewrite(handle: DeltaTable) -> None:
    """Rewrite a partition by predicate."""
    con = duckdb.connect()
    rows = con.from_arrow(handle.to_pyarrow_dataset()).to_arrow_table()
    date = rows["date"][0].as_py()
    rows = rows.cast(handle.to_pyarrow_dataset().schema)
    write_deltalake(handle, rows, mode="overwrite", predicate=f"date = '{date}'")


def clean_log(handle: DeltaTable) -> None:
    """Commit as another writer, then clean up the log right away."""
    handle.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    foreign_commit(handle, "other")
    handle.update_incremental()
    handle.create_checkpoint()
    handle.cleanup_metadata()


def merge(handle: DeltaTable) -> None:
    """Merge files like flow `compact`."""
    uri = urlparse(handle.table_uri.rstrip("/"))
    path = unquote(uri.path) if uri.scheme == "file" else uri.geturl()
    folder, _, table = path.rpartition("/")
    compact(Storage.of(load({}, lake=folder)), table)


MAINTENANCE: dict[str, Callable[[DeltaTable], object]] = {
    "rewritten by predicate": rewrite,
    "rows deleted": lambda handle: handle.delete("kafka_offset >= 1000"),
    "merged": merge,
    "compacted": lambda handle: handle.optimize.compact(),
    "log cleaned": clean_log,
    "checkpoint": lambda handle: handle.create_checkpoint(),
}
