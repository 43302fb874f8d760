"""The sink of the flow `compact`: one log entry per merged file."""

from dataclasses import dataclass, field
from datetime import date

import structlog

from schemas.batches import Merge
from schemas.compaction import MergedFile
from schemas.table_parts import partition_values
from semloop.errors import SemLoopError
from semloop.flow_registry import COMPACT
from sinks.compaction.active_files import ActiveFiles
from sinks.compaction.log_entry import Outcome, commit_merged
from sinks.flow_tables import FlowContext

log = structlog.get_logger("flow")


@dataclass
class Report:
    """What a run of `compact` has done.

    Attributes:
        replaced: table -> files that merged files have replaced.
        merged: merged files.
        lost: merged files that were not added, because another run was faster or they
            had become too old.
        failed: table and date of merges that could not be done; the log has the causes.
    """

    replaced: dict[str, int] = field(default_factory=dict)
    merged: int = 0
    lost: int = 0
    failed: set[tuple[str, date | None]] = field(default_factory=set)

    def fail(self, merge: Merge, error: SemLoopError) -> None:
        """Record that a merge cannot be done now; the others are done."""
        self.failed.add((merge.table, merge.date))
        log.error(
            "merge failed",
            flow=COMPACT.name,
            table=merge.table,
            **partition_values(merge.date),
            what=error.what,
            todo=error.todo,
        )


class CompactedTables:
    """Commits merged files.

    Unit of parallelism: any; workers have different files. Guarantee: it may be
    stopped at any moment and run again, and several may run at a time; each row stays
    in its table exactly once.
    """

    def __init__(self, context: FlowContext, report: Report) -> None:
        """Open no table yet.

        Args:
            context: settings and lake.
            report: receives the counts.
        """
        self._context = context
        self._report = report
        self._tables: dict[str, ActiveFiles] = {}

    def add(self, item: MergedFile) -> None:
        """Commit one merged file.

        Raises:
            LakeError: the table is not writable. StorageUnavailable: storage did not
                recover within `storage_retry_s`.
        """
        table, storage = item.merge.table, self._context.storage
        if table not in self._tables:
            self._tables[table] = ActiveFiles(storage, table)
        seconds = self._context.settings.commits.storage_retry_s
        outcome = commit_merged(storage, self._tables[table], item, seconds)
        log.info(
            "merged file",
            flow=COMPACT.name,
            table=table,
            **partition_values(item.merge.date),
            files=len(item.merge.files),
            outcome=outcome.value,
        )
        report = self._report
        if outcome is Outcome.COMMITTED:
            report.merged += 1
            files = report.replaced.get(table, 0) + len(item.merge.files)
            report.replaced[table] = files
        else:
            report.lost += 1
