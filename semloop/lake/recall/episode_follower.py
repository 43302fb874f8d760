"""Follows the table `episodes` for recall; each refresh reads only new files."""

import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from semloop.delta.query import FileQueries
from semloop.delta.snapshot import Snapshot, new_files
from semloop.delta.streams import EXPIRED
from semloop.delta.streams_table import StreamsTable, rows_of
from semloop.delta.table import TableFollower
from semloop.errors import LakeError
from semloop.lake import generations
from semloop.lake.recall.episodes import READ, Episodes, Position
from semloop.storage.location import Storage

if TYPE_CHECKING:
    import pyarrow as pa

# Suffixes of the offsets of a partition: the last one, and the last that has expired.
KINDS = ("", EXPIRED)


def earlier_version(storage: Storage) -> LakeError:
    """Return the error for a lake whose tables lack columns that recall reads."""
    msg = f"An earlier version of SemLoop has written the memories of {storage.root}."
    todo = "Delete `episodes` and `memories`, and run the flow `memory` again."
    return LakeError(msg, todo)


class EpisodeFollower:
    """The committed state of `episodes`, safe for concurrent callers.

    Args:
        storage: the lake.
        stale_s: maximum age of the state, in seconds; each refresh after that is a
            request to the storage.
    """

    def __init__(self, storage: Storage, stale_s: float) -> None:
        self._storage, self._stale_s = storage, stale_s
        self._lock = Lock()
        self._queries = FileQueries(storage)
        self._table = TableFollower(
            storage, generations.EPISODES, [generations.GENERATION]
        )
        self._streams = StreamsTable(storage)
        self._refreshed_s = float("-inf")
        self._snapshot: Snapshot | None = None
        self._episodes = Episodes()

    def expire(self) -> None:
        """Read the state again on the next call, however old it is."""
        with self._lock:
            self._refreshed_s = float("-inf")

    def close(self) -> None:
        """Close the connection."""
        self._queries.close()

    def episodes(self) -> Episodes | None:
        """Return the state, at most `stale_s` old; None if there are no episodes yet.

        Raises:
            LakeError: the lake cannot be read.
            StorageUnavailable: the storage is not available.
        """
        with self._lock:
            now_s = time.monotonic()
            is_fresh = now_s - self._refreshed_s < self._stale_s
            if self._snapshot is not None and is_fresh:
                return self._episodes
            snapshot = self._table.refresh()
            if snapshot is None:
                self._snapshot, self._episodes = None, Episodes()
                return None
            if snapshot is not self._snapshot:
                self._read(snapshot)
            self._refreshed_s = now_s
            return self._episodes

    def _read(self, snapshot: Snapshot) -> None:
        episodes = self._episodes
        added = new_files(self._storage, self._snapshot, snapshot)
        if added is None:
            # Rewritten or created again: episodes may have been removed.
            episodes, added = Episodes(), sorted(snapshot.files)
        if added:
            uris = snapshot.uris(self._storage, added)
            read = self._revisions(snapshot.table, uris)
            episodes = episodes.with_revisions(read)
        self._snapshot, self._episodes = self._with_offsets(snapshot, episodes)

    def _revisions(self, table: str, uris: Sequence[str]) -> "pa.Table":
        from duckdb import BinderException

        try:
            return self._queries.arrow(table, uris, READ)
        except BinderException as error:
            raise earlier_version(self._storage) from error

    def _with_offsets(
        self, snapshot: Snapshot, episodes: Episodes
    ) -> tuple[Snapshot, Episodes]:
        """Read generation and offsets; return the snapshot that has the offsets too."""
        rows = rows_of(generations.FLOW, snapshot.table, self._streams.rows())
        names = [f"{row.app_id}{kind}" for row in rows for kind in KINDS]
        snapshot = self._table.watch(names) or snapshot
        generation = snapshot.transactions.get(
            generations.GENERATION, generations.FIRST_GENERATION
        )
        stored = snapshot.transactions
        positions = tuple(
            Position(
                *row.partition,
                *(stored.get(f"{row.app_id}{kind}", -1) for kind in KINDS),
            )
            for row in rows
        )
        return snapshot, replace(episodes, positions=positions, generation=generation)
