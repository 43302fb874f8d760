"""The sink of the flow `retain`: one log entry per date, by which expired rows go.

Memories have no dates, so all that have expired go together.
"""

from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

import structlog

from schemas.batches import ExpiredMemories
from schemas.compaction import FILES_MAX, Replacement
from schemas.retention import Expiry
from semloop.delta.snapshot import read_snapshot
from semloop.errors import SemLoopError, StorageUnavailable
from semloop.flow_registry import RETAIN
from semloop.retry import retry
from semloop.storage.location import Storage
from semloop.tables import TABLES
from sinks.compaction.active_files import ActiveFiles
from sinks.compaction.log_entry import Outcome, commit_replacement
from sinks.flow_tables import FlowContext
from sinks.vectors.expired_memories import remove_expired
from sinks.vectors.table import NAME as MEMORIES

EARLIER = "an earlier date is kept"
log = structlog.get_logger("flow")


@dataclass(frozen=True)
class Expired:
    """Rows of a table that are gone, or would be.

    `bytes`: of their files, which a vacuum deletes.
    """

    dates: int = 0
    rows: int = 0
    bytes: int = 0


@dataclass
class Report:
    """What a run of `retain` has done.

    Attributes:
        expired: table -> what is gone.
        held: table -> dates whose expired rows a flow still needs.
        lost: dates whose files another run changed meanwhile; the next run has them.
        kept: tables with such a date, or with one that failed.
        failed: table and date of rows that could not be removed; the log has the cause.
    """

    expired: dict[str, Expired] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    failed: set[tuple[str, date]] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)

    def fail(self, table: str, day: date, error: SemLoopError) -> None:
        """Record that the rows of a date cannot go now; those of others do."""
        self.failed.add((table, day))
        self.kept.add(table)
        what = {"what": error.what, "todo": error.todo}
        at = {"table": table, "date": day.isoformat()}
        log.error("rows not removed", flow=RETAIN.name, **at, **what)

    def keeps_later_dates(self, table: str) -> bool:
        """Return True if an earlier date stays, without which later ones cannot go."""
        return table in self.kept and bool(TABLES[table].folded_by)

    def hold(self, item: Expiry, reason: str) -> None:
        """Count a date whose rows stay."""
        self.held[item.table] = self.held.get(item.table, 0) + 1
        self.kept.add(item.table)
        log.warning("rows kept", flow=RETAIN.name, reason=reason, **_place(item))

    def add(self, item: Expiry) -> None:
        """Count the rows of a date."""
        before = self.expired.get(item.table, Expired())
        self.expired[item.table] = Expired(
            before.dates + 1, before.rows + item.rows, before.bytes + item.bytes
        )


class RetainedTables:
    """Removes expired rows.

    Unit of parallelism: a date of a table; a table of revisions as a whole, oldest date
    first: without its newest revision, an episode that is closed would be open again.
    Guarantee: it may be stopped at any moment and run again, and several may run at a
    time; no other row is lost or duplicated.
    """

    def __init__(self, context: FlowContext, report: Report, *, dry_run: bool) -> None:
        """Open no table yet.

        Args:
            context: settings and lake.
            report: receives the counts.
            dry_run: count the rows, and remove none.
        """
        self._context = context
        self._report = report
        self._dry_run = dry_run
        self._tables: dict[str, ActiveFiles] = {}

    def add(self, item: Expiry | ExpiredMemories) -> None:
        """Remove the expired rows of one date, or the expired memories.

        Raises:
            LakeError: the table is not writable. StorageUnavailable: storage did not
                recover within `storage_retry_s`.
        """
        if isinstance(item, ExpiredMemories):
            self._remove_memories(item)
        else:
            self._remove_rows(item)

    def _remove_memories(self, item: ExpiredMemories) -> None:
        seconds = self._context.settings.commits.storage_retry_s
        removed = remove_expired(
            self._context.storage, item.generation, item.condition, item.counts_max,
            seconds, dry_run=self._dry_run,
        )  # fmt: skip
        if removed is None or not removed.rows:
            return
        self._report.expired[MEMORIES] = Expired(
            removed.dates, removed.rows, removed.bytes
        )
        if not self._dry_run:
            log.info("memories removed", flow=RETAIN.name, rows=removed.rows)

    def _remove_rows(self, item: Expiry) -> None:
        if not item.removed:
            return
        if item.held:
            self._report.hold(item, item.held)
        elif self._report.keeps_later_dates(item.table):
            self._report.hold(item, EARLIER)
        elif self._dry_run:
            self._report.add(item)
        elif self._commit(item):
            self._report.add(item)
            log.info("rows removed", flow=RETAIN.name, rows=item.rows, **_place(item))
        else:
            self._report.lost += 1
            self._report.kept.add(item.table)

    def _commit(self, item: Expiry) -> bool:
        """Commit all parts of an item; False if another run has changed its files."""
        storage = self._context.storage
        if item.table not in self._tables:
            self._tables[item.table] = ActiveFiles(storage, item.table)
        active = self._tables[item.table]
        # Entries of other runs from here on are followed one by one.
        seconds = self._context.settings.commits.storage_retry_s
        numbers = retry(
            partial(_largest, storage, item), on=StorageUnavailable, seconds=seconds
        )
        return all(
            commit_replacement(storage, active, replace(part, numbers=numbers), seconds)
            is Outcome.COMMITTED
            for part in _parts(item)
        )


def _largest(storage: Storage, item: Expiry) -> dict[str, int]:
    """Return the last offsets of rows that have gone once these have, by app id."""
    if not item.expired:
        return {}
    snapshot = read_snapshot(storage, item.table, item.expired)
    stored = snapshot.transactions if snapshot else {}
    return {name: max(at, stored.get(name, at)) for name, at in item.expired.items()}


def _parts(item: Expiry) -> list[Replacement]:
    """Return one log entry; several if it would be too long."""
    whole = Replacement(item.table, item.date, item.removed, item.added, True)
    if len(item.removed) <= FILES_MAX:
        return [whole]
    replaced = {file.merge.files[0].path: file for file in item.added}
    parts = []
    for start in range(0, len(item.removed), FILES_MAX):
        removed = item.removed[start : start + FILES_MAX]
        added = [replaced[file.path] for file in removed if file.path in replaced]
        parts.append(replace(whole, removed=removed, added=tuple(added)))
    return parts


def _place(item: Expiry) -> dict[str, str]:
    return {"table": item.table, "date": item.date.isoformat()}
