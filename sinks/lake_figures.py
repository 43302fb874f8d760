"""Measures tables, disk and maintenance once a minute, at a bounded cost.

The sizes of a table are in the snapshot that its writer has open, so nothing is listed:
20,000 files take two milliseconds.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from deltalake import DeltaTable

from schemas.compaction import TARGET_BYTES
from schemas.metrics import Metrics
from semloop.boot_clock import Moment
from semloop.flow_registry import ARCHIVE, RETAIN, SCHEDULED, Flow
from semloop.progress.activity import last_end, read_file
from semloop.settings import Settings
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from lancedb.table import Table

EVERY_S = 60.0
# Of the time of a flow, where measuring takes longer: a slow store, a large table.
SHARE_MAX = 0.01
# Compaction leaves files of at least this size as they are.
SMALL_BYTES = TARGET_BYTES // 2

log = structlog.get_logger("figures")


@dataclass(frozen=True)
class TableSize:
    """Size of the newest version of a table; `small_files`: which can be merged."""

    table: str
    bytes: int
    files: int
    small_files: int


def delta_size(table: str, handle: DeltaTable) -> TableSize:
    """Return the size of the version that a handle has open."""
    files = pa.table(handle.get_add_actions(flatten=True))
    small = files.filter(pc.less(files["size_bytes"], SMALL_BYTES))
    by_date = small.group_by("partition.date").aggregate([([], "count_all")])
    counts = by_date["count_all"]
    # Files of two dates are never merged, so the only one of a date stays small.
    several = pc.sum(counts.filter(pc.greater(counts, 1))).as_py() or 0
    total = pc.sum(files["size_bytes"]).as_py() or 0
    return TableSize(table, total, files.num_rows, several)


def vector_size(table: str, handle: "Table") -> TableSize:
    """Return the size of the version of a LanceDB table, whose files are fragments."""
    # `stats` returns a dict, unlike its declared type.
    found: Any = handle.stats()
    fragments = found["fragment_stats"]
    counts = fragments["num_fragments"], fragments["num_small_fragments"]
    return TableSize(table, found["total_bytes"], *counts)


class LakeFigures:
    """The figures of one flow; those of disk and maintenance are `archive`'s."""

    def __init__(
        self,
        flow: str,
        settings: Settings,
        storage: Storage,
        metrics: Metrics,
        moment: Callable[[], Moment],
    ) -> None:
        """Measure nothing yet.

        Args:
            flow: its name.
            settings: how often maintenance should run.
            storage: the lake.
            metrics: receives the figures.
            moment: returns the time of both clocks.
        """
        self._flow = flow
        self._settings = settings
        self._storage = storage
        self._metrics = metrics
        self._moment = moment
        self._due_s = 0.0

    def measure_if_due(self, sizes: Callable[[], Iterable[TableSize]]) -> None:
        """Measure if a minute has passed; a failure is logged, and stops nothing."""
        started_s = time.monotonic()
        if started_s < self._due_s:
            return
        try:
            with storage_errors(self._storage, "measure tables"):
                self._measure(sizes)
        except Exception as error:
            # No figure may stop a flow.
            log.warning("lake not measured", error=type(error).__name__)
        ended_s = time.monotonic()
        self._due_s = ended_s + max(EVERY_S, (ended_s - started_s) / SHARE_MAX)

    def _measure(self, sizes: Callable[[], Iterable[TableSize]]) -> None:
        for size in sizes():
            for name, value in (
                ("semloop_table_bytes", size.bytes),
                ("semloop_table_files", size.files),
                ("semloop_table_small_files", size.small_files),
            ):
                self._metrics.set(name, value, flow=self._flow, table=size.table)
        if self._flow != ARCHIVE.name:
            return
        if not self._storage.on_s3:
            disk = shutil.disk_usage(self._storage.root)
            # Some file systems do not know their size.
            used = 1 - disk.free / disk.total if disk.total else 0.0
            self._metrics.set("semloop_disk_used_ratio", used, flow=self._flow)
        for flow in SCHEDULED.values():
            self._maintenance(flow)

    def _maintenance(self, flow: Flow) -> None:
        """Report when a scheduled flow last ran, and how often it should."""
        settings = self._settings
        interval_s = settings.value(flow.every)
        if not interval_s or (flow is RETAIN and not settings.maintenance.expires):
            return
        name = "semloop_maintenance_interval_seconds"
        self._metrics.set(name, interval_s, flow=flow.name)
        run = read_file(self._storage, flow.name, 0)
        if run is None:
            return
        now = self._moment()
        if end := last_end(run):
            self._age("semloop_maintenance_age_seconds", flow, end, now)
        name = "semloop_maintenance_unfinished_seconds"
        if run.ended:
            self._metrics.follow(name, lambda: 0.0, flow=flow.name)
        else:
            self._age(name, flow, run.at, now)

    def _age(self, name: str, flow: Flow, since: Moment, now: Moment) -> None:
        """Make a gauge show the age of a moment, which grows between two looks."""
        age_ms = since.age_ms(now)
        if age_ms is not None:
            since_s = time.monotonic() - age_ms / 1e3
            self._metrics.follow(
                name, lambda: time.monotonic() - since_s, flow=flow.name
            )
