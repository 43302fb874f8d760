"""Where the memories of a lake are: LanceDB tables under `memories/`.

There is one table a generation. Which one holds is a number that rides in the commits
of `episodes`, so that it changes together with who may write.
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
# The main table of the flow `memory`, and the name under which its commits keep the
# generation that holds.
FLOW = MEMORY.name
EPISODES = MEMORY.main
GENERATION = "memory/generation"
# Lance keeps the manifest of every version that it has met, 1 GiB of them by default: a
# writer would grow by megabytes a minute.
METADATA_CACHE_BYTES = 64 * 2**20


def connect(storage: "Storage", stale_s: float = 0.0) -> "DBConnection":
    """The folder of the memories as LanceDB opens it.

    Args:
        storage: the lake.
        stale_s: how old a version an open table may show; each look is a request.

    Raises:
        MissingExtra: LanceDB is not installed.
    """
    from semloop.extras import need

    # Looked at when it is loaded: it warns of what its own upkeep sets right.
    os.environ.setdefault("LANCEDB_LOG", "error")
    lancedb = need("lancedb")
    options = object_store.lance_options(storage.options) if storage.on_s3 else None
    connection: DBConnection = lancedb.connect(
        storage.uri(FOLDER),
        storage_options=options,
        read_consistency_interval=timedelta(seconds=stale_s),
        session=lancedb.Session(metadata_cache_size_bytes=METADATA_CACHE_BYTES),
    )
    return connection


def open_table(connection: "DBConnection", generation: int) -> "Table | None":
    """A generation's table; None if nobody has made it."""
    try:
        return connection.open_table(table_name(generation))
    except ValueError as error:
        if "was not found" in str(error):
            return None
        raise


def open_existing(storage: "Storage", generation: int) -> "Table | None":
    """A generation's table for a look: nothing is made where nobody has made it.

    Raises:
        LakeError: it cannot be read. StorageUnavailable: not now.
        MissingExtra: LanceDB is not installed.
    """
    if not storage.on_s3 and not Path(storage.uri(FOLDER)).is_dir():
        # LanceDB would make the folder.
        return None
    with storage_errors(storage, f"read table {FOLDER}", lance=True):
        return open_table(connect(storage), generation)


def table_name(generation: int) -> str:
    """Name of a generation's table."""
    return f"generation-{generation}"


def generation_of(episodes: "DeltaTable") -> int:
    """The generation that holds, as a version of `episodes` says it."""
    found = episodes.transaction_version(GENERATION)
    return FIRST_GENERATION if found is None else int(found)


def current(storage: "Storage") -> int | None:
    """The generation that holds; None where the flow `memory` never ran.

    Raises:
        LakeError: `episodes` cannot be read. StorageUnavailable: not now.
    """
    episodes = read_snapshot(storage, EPISODES, [GENERATION])
    if episodes is None:
        return None
    return episodes.transactions.get(GENERATION, FIRST_GENERATION)
