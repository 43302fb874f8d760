"""Finds artifacts that no row of `events` names: of rows that expired, and of crashes.

An artifact is written before the commit of its row. So only those at or below the last
offset that `archive` has committed are looked at: no commit names them later.
"""

import re
from collections.abc import Mapping
from contextlib import closing

from semloop.artifacts import FOLDER, decode_references, stream_name
from semloop.delta.query import FileQueries
from semloop.delta.snapshot import Snapshot, read_snapshot
from semloop.delta.streams_table import read_streams, rows_of
from semloop.delta.unused_files import UnusedFiles
from semloop.flow_registry import ARCHIVE
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage

# As `operators/decoding/artifact_column.py` makes it: stream, partition and offset.
NAME = re.compile(
    rf"{FOLDER}/\d{{4}}/\d\d/\d\d/[0-9a-f]{{16}}/(.+)-(\d+)-(\d+)-\d+-[0-9a-f]{{12}}"
)
NAMED = "SELECT artifacts FROM rows WHERE artifacts IS NOT NULL"


def unnamed_artifacts(storage: Storage, safe_s: float) -> UnusedFiles:
    """Return the artifacts that no row names, and that are older than a time.

    Args:
        storage: the lake.
        safe_s: Unix time by the clock of the storage.

    Raises:
        LakeError: the tables cannot be read. StorageUnavailable: temporarily.
    """
    # Listed before the rows are read: an artifact that is named later is not listed.
    listed = [f for f in stored_files(storage, FOLDER) if f.changed_s < safe_s]
    if not listed:
        return UnusedFiles(FOLDER)
    own = rows_of(ARCHIVE.name, ARCHIVE.main, read_streams(storage))
    snapshot = read_snapshot(storage, ARCHIVE.main, [row.app_id for row in own])
    if snapshot is None:
        return UnusedFiles(FOLDER)
    committed: dict[tuple[str, str], int] = {}
    for row in own:
        topic_id, number = row.partition
        offset = snapshot.transactions.get(row.app_id, -1)
        # An `archive` of an earlier version that reads a topic again, as one of another
        # cluster, gives its artifacts the same names again.
        for cluster_id in (row.stream.cluster_id, ""):
            place = stream_name(topic_id, cluster_id), str(number)
            committed[place] = min(offset, committed.get(place, offset))
    named = _named(storage, snapshot)
    left = [
        f for f in listed if f.name not in named and _is_committed(f.name, committed)
    ]
    return UnusedFiles(FOLDER, left=tuple(left))


def _is_committed(name: str, committed: Mapping[tuple[str, str], int]) -> bool:
    """Return True if no later commit can name an artifact."""
    match = NAME.fullmatch(name)
    if match is None:
        return False
    return int(match[3]) <= committed.get((match[1], match[2]), -1)


def _named(storage: Storage, snapshot: Snapshot) -> set[str]:
    uris = snapshot.uris(storage)
    if not uris or "artifacts" not in snapshot.columns:
        return set()
    with closing(FileQueries(storage)) as queries:
        found = queries.arrow(snapshot.table, uris, NAMED)["artifacts"].to_pylist()
    return {each.object for column in found for each in decode_references(column)}
