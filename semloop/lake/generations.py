"""LanceDB tables under `memories/`: the memories of a lake.

There is one table per generation. The number of the current generation is stored in the
commits of `episodes`, so that it changes atomically with the ownership of the flow.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from semloop.delta.snapshot import read_snapshot
from semloop.flow_registry import MEMORY
from semloop.storage import object_store
from semloop.storage.errors import storage_errors

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from lancedb import DBConnection
    from lancedb.table import Table

    from semloop.storage.location import Storage

FOLDER = "memories"
FIRST_GENERATION = 1
# The flow `memory`, its main table, and the app id under which commits to that table
# store the current generation.
FLOW = MEMORY.name
EPISODES = MEMORY.main
GENERATION = "memory/generation"
# Lance caches the manifest of every version that it reads, by default up to 1 GiB, and
# parts of the indexes of every version, by default up to 6 GiB. A reader needs the
# indexes again and again: 2 GiB hold those of a million memories, and with half of that
# a search took twice the processor time. A process that only writes would grow without
# using them, by 14 MB per 1,000 commits.
INDEX_CACHE_BYTES = 2 * 2**30
METADATA_CACHE_BYTES = 64 * 2**20
WRITER_METADATA_CACHE_BYTES = 16 * 2**20
WRITER_INDEX_CACHE_BYTES = 8 * 2**20


def connect(
    storage: "Storage", stale_s: float = 0.0, *, only_writes: bool = False
) -> "DBConnection":
    """Open the folder of the memories in LanceDB.

    Args:
        storage: the lake.
        stale_s: maximum age of the version that an open table shows; each check for a
            new version is a request to the storage.
        only_writes: True for small caches, without which writes are as fast.

    Raises:
        MissingExtra: LanceDB is not installed.
    """
    from semloop.extras import need

    # Read on import. LanceDB warns of states that its own maintenance corrects.
    os.environ.setdefault("LANCEDB_LOG", "error")
    lancedb = need("lancedb")
    options = object_store.lance_options(storage.options) if storage.on_s3 else None
    session = (
        lancedb.Session(WRITER_INDEX_CACHE_BYTES, WRITER_METADATA_CACHE_BYTES)
        if only_writes
        else lancedb.Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES)
    )
    connection: DBConnection = lancedb.connect(
        storage.uri(FOLDER),
        storage_options=options,
        read_consistency_interval=timedelta(seconds=stale_s),
        session=session,
    )
    return connection


def open_table(connection: "DBConnection", generation: int) -> "Table | None":
    """Open the table of a generation; None if it does not exist."""
    try:
        return connection.open_table(table_name(generation))
    except ValueError as error:
        if "was not found" in str(error):
            return None
        raise


def open_existing(storage: "Storage", generation: int) -> "Table | None":
    """Open the table of a generation without creating anything; None if it is missing.

    Raises:
        LakeError: the table cannot be read.
        StorageUnavailable: the storage is not available.
        MissingExtra: LanceDB is not installed.
    """
    if not storage.on_s3 and not Path(storage.uri(FOLDER)).is_dir():
        # LanceDB would create the folder.
        return None
    with storage_errors(storage, f"read table {FOLDER}", lance=True):
        return open_table(connect(storage), generation)


def table_name(generation: int) -> str:
    """Return the name of a generation's table."""
    return f"generation-{generation}"


def generation_of(episodes: "DeltaTable") -> int:
    """Return the current generation as of a version of `episodes`."""
    stored = episodes.transaction_version(GENERATION)
    return FIRST_GENERATION if stored is None else int(stored)


def current(storage: "Storage") -> int | None:
    """Read the current generation; None if the flow `memory` has never run.

    Raises:
        LakeError: `episodes` cannot be read.
        StorageUnavailable: the storage is not available.
    """
    episodes = read_snapshot(storage, EPISODES, [GENERATION])
    if episodes is None:
        return None
    return episodes.transactions.get(GENERATION, FIRST_GENERATION)
