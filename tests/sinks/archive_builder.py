"""A writer of `ArchiveTables` whose clock, broker and storage a test controls."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake.transaction import AddAction

from schemas.batches import Decoded
from schemas.committed import CommittedOffsets
from schemas.metrics import Metrics
from semloop.delta.streams import Partition, StreamId
from semloop.settings import load
from semloop.storage.location import Storage
from sinks.archive_tables import ArchiveTables
from sinks.commit_loop import CommitLoop
from sinks.dead_letter_limit import DeadLetterLimit
from sinks.delta.delta_log import DeltaLog
from sinks.delta.table_log import TableLog
from sinks.flow_tables import FlowContext
from tests.sinks.wrapped_log import WrappedLog
from tests.support.builders import LOG, NOW, decoded_rows

IDS = [str(uuid.UUID(int=number)) for number in range(100)]


class Crash(BaseException):
    """The process died; a BaseException, so that no handler catches it."""


@dataclass
class CommitBudget:
    """Commits to either table before the process crashes; None: unlimited."""

    left: int | None = None


class FailingLog(WrappedLog):
    """A log that crashes after a number of commits, and rejects some rows."""

    def __init__(self, log: DeltaLog, budget: CommitBudget) -> None:
        super().__init__(log)
        self.commits_since_open = 0
        self.refused: frozenset[tuple[int, int]] = frozenset()
        # Accept a rejected dead letter once only its origin is left.
        self.accepts_rows_without_content = False
        self._budget = budget

    def reopen(self) -> None:
        super().reopen()
        self.commits_since_open = 0

    def write(self, rows: pa.Table) -> AddAction:
        self._crash_if_spent()
        without_content = self.accepts_rows_without_content and rows["raw"].null_count
        if not without_content and not self.refused.isdisjoint(origins(rows)):
            msg = "a confidential value"
            raise pa.ArrowInvalid(msg)
        return super().write(rows)

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        self._crash_if_spent()
        super().commit(files, transactions)
        self.commits_since_open += len(files)
        if self._budget.left is not None:
            self._budget.left -= 1

    def _crash_if_spent(self) -> None:
        if self._budget.left == 0:
            raise Crash


class Recorded(CommittedOffsets):
    """Records the offsets of every commit, by number of the partition."""

    def __init__(self, committed_offsets: list[Mapping[int, int]]) -> None:
        super().__init__("semloop-test")
        self._committed_offsets = committed_offsets

    def put(self, offsets: Mapping[Partition, int]) -> None:
        super().put(offsets)
        self._committed_offsets.append(
            {p.number: offset for p, offset in offsets.items()}
        )


class Archive:
    """One writer of two partitions, its clock and its committed offsets."""

    def __init__(
        self,
        lake: Path,
        stream: StreamId = LOG,
        *,
        accepts_dead_letters: bool = False,
        **settings: Any,
    ) -> None:
        self.settings = load({}, lake=str(lake), **settings)
        self.storage = Storage.of(self.settings)
        self.now = NOW.timestamp()
        self.metrics = Metrics()
        self.committed_offsets: list[Mapping[int, int]] = []
        self.waits: list[float] = []
        self.broker_errors: list[Exception] = []
        clock = lambda: self.now  # noqa: E731
        context = FlowContext(
            self.settings, self.storage, self.metrics, clock, self._open_log
        )
        committed = Recorded(self.committed_offsets)
        self.budget = CommitBudget()
        self.tables = ArchiveTables(
            context,
            stream,
            [0, 1],
            self._same_topic,
            committed,
            DeadLetterLimit(self.settings.archive, accepts=accepts_dead_letters),
        )
        self.loop = CommitLoop(self.settings, self.tables, clock, self.waits.append)
        self._logs: dict[str, FailingLog] = {}

    @property
    def events(self) -> FailingLog:
        """The log of `events`, once it is open."""
        return self._logs["events"]

    @property
    def letters(self) -> FailingLog:
        """The log of `dead_letters`, once it is open."""
        return self._logs["dead_letters"]

    def _open_log(self, storage: Storage, name: str) -> FailingLog:
        self._logs[name] = FailingLog(TableLog(storage, name), self.budget)
        return self._logs[name]

    def _same_topic(self) -> None:
        if self.broker_errors:
            raise self.broker_errors.pop(0)

    def started(self, **options: bool) -> "Archive":
        self.tables.take_over(**options)
        return self

    def poll(self, *offsets: int, partition: int = 0, **options: Any) -> None:
        """Add a poll of events with these offsets; without offsets, a tick."""
        positions = {partition: max(offsets)} if offsets else {}
        good = [(partition, offset) for offset in offsets]
        self.loop.add(decoded_rows(good, [], positions, **options))

    def tick(self, seconds: float = 0) -> None:
        self.now += seconds
        self.poll()

    def stored(self, table: str = "events") -> list[tuple[int, int]]:
        uris = self.storage.open(table).file_uris()
        return (
            sorted(origins(duckdb.read_parquet(uris).to_arrow_table())) if uris else []
        )

    def version(self, table: str = "events") -> int:
        return self.storage.open(table).version()

    def counted(self, name: str, **labels: str | int) -> float:
        return self.metrics.value(f"semloop_{name}", flow="archive", **labels)


def origins(rows: pa.Table) -> list[tuple[int, int]]:
    columns = (rows[name].to_pylist() for name in ("kafka_partition", "kafka_offset"))
    return list(zip(*columns, strict=True))


def named(decoded: Decoded, *ids: str, redelivered: bool = True) -> Decoded:
    """Replace the ids of the rows: first of the events, then of the dead letters.

    `redelivered`: the rows are marked as redelivered.
    """
    events = decoded.events.num_rows
    return replace(
        decoded,
        events=_with_ids(decoded.events, "event_id", ids[:events]),
        dead_letters=_with_ids(decoded.dead_letters, "id", ids[events:]),
        redelivered_ids=frozenset(ids if redelivered else ()),
    )


def _with_ids(
    rows: pa.RecordBatch, column: str, ids: tuple[str, ...]
) -> pa.RecordBatch:
    at = rows.schema.get_field_index(column)
    return rows.set_column(at, column, pa.array(ids, pa.string()))
