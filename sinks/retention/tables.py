"""The sink of the flow `retain`: one log entry per date, by which expired rows go."""

from dataclasses import dataclass, field, replace
from datetime import date

import structlog

from schemas.compaction import FILES_MAX, Replacement
from schemas.retention import Expiry
from semloop.errors import SemLoopError
from semloop.flow_registry import RETAIN
from semloop.tables import TABLES
from sinks.compaction.active_files import ActiveFiles
from sinks.compaction.log_entry import Outcome, commit_replacement
from sinks.flow_tables import FlowContext

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

    def add(self, item: Expiry) -> None:
        """Remove the expired rows of one date.

        Raises:
            LakeError: the table is not writable. StorageUnavailable: storage did not
                recover within `storage_retry_s`.
        """
        if not item.removed:
            return
        if item.held:
            self._report.hold(item, item.held)
        elif item.table in self._report.kept and TABLES[item.table].folded_by:
            self._report.hold(item, EARLIER)
        elif self._dry_run:
            self._report.add(item)
        elif all(self._commit(part) for part in _parts(item)):
            self._report.add(item)
            log.info("rows removed", flow=RETAIN.name, rows=item.rows, **_place(item))
        else:
            self._report.lost += 1
            self._report.kept.add(item.table)

    def _commit(self, change: Replacement) -> bool:
        storage = self._context.storage
        if change.table not in self._tables:
            self._tables[change.table] = ActiveFiles(storage, change.table)
        seconds = self._context.settings.commits.storage_retry_s
        active = self._tables[change.table]
        outcome = commit_replacement(storage, active, change, seconds)
        return outcome is Outcome.COMMITTED


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
