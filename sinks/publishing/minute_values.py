"""What agents did in some minutes, read from all rows of `agent_metrics`."""

import bisect
from datetime import datetime
from importlib import resources

import pyarrow as pa

from semloop.delta.query import FileQueries
from semloop.delta.snapshot import Snapshot
from semloop.delta.table import TableFollower
from semloop.flow_registry import METRICS
from semloop.storage.location import Storage

KEYS = ("minute", "namespace", "agent")
# The views that users query, on the rows of the wanted keys.
VIEWS = resources.files("semloop.lake") / "views"
RAW = "FROM tables.agent_metrics"
WANTED = f"FROM rows SEMI JOIN wanted USING ({', '.join(KEYS)})"
QUERY = """
, agent_metrics AS ({raw}), metrics_by_agent AS ({view})
FROM metrics_by_agent
"""


class MinuteValues:
    """Reads the newest version of the table, that of all workers."""

    def __init__(self, storage: Storage) -> None:
        """Open nothing yet."""
        self._storage = storage
        self._table = TableFollower(storage, METRICS.main)
        self._files = FileQueries(storage)
        raw, view = (
            (VIEWS / f"{name}.sql").read_text("utf-8")
            for name in ("agent_metrics", "metrics_by_agent")
        )
        assert RAW in raw
        self._query = QUERY.format(raw=raw.replace(RAW, WANTED), view=view)

    def read(self, keys: pa.Table) -> pa.Table:
        """Return the rows of `metrics_by_agent` with some keys.

        Raises:
            LakeError, StorageUnavailable: the table cannot be read.
        """
        snapshot = self._snapshot()
        minutes = sorted(keys["minute"].unique().to_pylist())
        uris = snapshot.uris(self._storage, _files_with(snapshot, minutes))
        self._files.connection.register("wanted", keys)
        try:
            return self._files.arrow(METRICS.main, uris, self._query)
        finally:
            self._files.connection.unregister("wanted")

    def _snapshot(self) -> Snapshot:
        snapshot = self._table.refresh()
        assert snapshot is not None, "the flow has created the table"
        return snapshot


def _files_with(snapshot: Snapshot, minutes: list[datetime]) -> list[str]:
    """Return the files that may have rows of some minutes, which are in order."""
    return [
        path
        for path, bounds in snapshot.bounds("minute").items()
        if bounds is None
        or bisect.bisect_left(minutes, bounds[0])
        < bisect.bisect_right(minutes, bounds[1])
    ]
