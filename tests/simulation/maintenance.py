"""Processes that maintain the tables of a simulated lake."""

from collections.abc import Set
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from flows.vacuum import _unused
from operators.compaction import plan
from schemas.batches import DataFile, Merge
from schemas.compaction import MergedFile, TableDate
from schemas.retention import Expiry
from schemas.table_parts import path_of
from semloop.storage.errors import storage_errors
from sinks.compaction.tables import CompactedTables
from sinks.compaction.tables import Report as Merged
from sinks.flow_tables import FlowContext
from sinks.retention.tables import Report as Removed
from sinks.retention.tables import RetainedTables
from sinks.vacuum import Report as Vacuumed
from sinks.vacuum import VacuumedTables
from sources.lake.table_dates import table_dates
from tests.simulation.auditor import Auditor
from tests.simulation.choices import Choices
from tests.simulation.log_auditor import LogAuditor
from tests.simulation.rows import Origin, Rows, newest, put_rows, statistics_of
from tests.simulation.store import SimulatedStorage


class Maintenance(NamedTuple):
    """What all of these processes need."""

    context: FlowContext
    storage: SimulatedStorage
    auditor: LogAuditor
    choices: Choices

    def compact(self) -> None:
        """Merge all files of each date, as flow `compact` does of dates that are over.

        A merge that is reported as lost must not be in the table.
        """
        for item in table_dates(self.storage, date.max, self.auditor.tables):
            closed = replace(item, closed=True)
            for merge in plan(closed):
                report = Merged()
                file = self._write(merge)
                CompactedTables(self.context, report).add(file)
                state = self.auditor.states[item.table]
                if report.lost and file.path in state.files:
                    self.auditor.faults.append("a merge is there, and reported as lost")

    def retain(self) -> None:
        """Remove the rows of the oldest date, or one row of each of its files."""
        for item in table_dates(self.storage, date.max, self.auditor.tables[:1]):
            expired = self._expired(item)
            RetainedTables(self.context, Removed(), dry_run=False).add(expired)
            return

    def vacuum(self) -> None:
        """Delete the files that no version has."""
        for table in self.auditor.tables:
            unused = _unused(self.context, table)
            VacuumedTables(self.context, Vacuumed(), dry_run=False).add(unused)

    def checkpoint(self) -> None:
        """Make a checkpoint; the next commit cleans the log up to it."""
        for table in self.auditor.tables:
            with storage_errors(self.storage, f"write a checkpoint of table {table}"):
                self.storage.open(table).create_checkpoint()

    def _expired(self, item: TableDate) -> Expiry:
        whole = self.choices.one_of([True, False])
        added = []
        for file in item.files:
            origins = self._read(item.table, file).origins
            gone = set(origins if whole else origins[:1])
            assert isinstance(self.auditor, Auditor)
            self.auditor.expirable |= gone
            if gone != set(origins):
                merge = Merge(item.table, item.version, item.date, (file,))
                added.append(self._write(merge, gone))
        rows = sum(file.size_bytes for file in item.files)
        assert item.date is not None
        return Expiry(item.table, item.date, item.files, tuple(added), rows)

    def _write(self, merge: Merge, without: Set[Origin] = frozenset()) -> MergedFile:
        """Write the rows of a merge in place of `write_merged`."""
        found = [self._read(merge.table, file) for file in merge.files]
        revisions = newest(r for each in found for r in each.revisions)
        origins = [o for each in found for o in each.origins if o not in without]
        content = Rows(
            tuple(r.origin for r in revisions) if revisions else tuple(origins),
            min(each.oldest for each in found),
            max(each.newest for each in found),
            any(each.foreign for each in found),
            revisions,
        )
        path = path_of(merge.date, merge.name.new())
        with storage_errors(self.storage, f"write table {merge.table}"):
            put_rows(self.storage.simulated, merge.table, path, content)
        size = len(content.origins)
        return MergedFile(merge, path, size, statistics_of(content))

    def _read(self, table: str, file: DataFile) -> Rows:
        with storage_errors(self.storage, f"read table {table}"):
            rows: Rows = self.storage.simulated.content(f"{table}/{file.path}")
        return rows
