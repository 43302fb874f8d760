"""One writer of `ArchiveTables` under the control of a test."""

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
from sinks.delta.delta_log import DeltaLog
from sinks.delta.table_log import TableLog
from sinks.flow_tables import FlowContext
from tests.builders import LOG, NOW, decoded_rows
from tests.sinks.wrapped_log import WrappedLog

IDS = [str(uuid.UUID(int=number)) for number in range(100)]


class Crash(BaseException):
    """The process is gone: no handler of ours may see it."""


@dataclass
class CommitBudget:
    """How many commits, to either table, a process has left; None: any number."""

    left: int | None = None


class FailingLog(WrappedLog):
    """A table whose process dies after so many commits, and that refuses some rows."""

    def __init__(self, log: DeltaLog, budget: CommitBudget) -> None:
        super().__init__(log)
        self.commits_since_open = 0
        self.refused: frozenset[tuple[int, int]] = frozenset()
        # Of dead letters: once nothing is left of them but their origin, they are taken.
        self.refuses_content_only = False
        self._budget = budget

    def reopen(self) -> None:
        super().reopen()
        self.commits_since_open = 0

    def write(self, rows: pa.Table) -> AddAction:
        self._live()
        bare = self.refuses_content_only and rows["raw"].null_count
        if not bare and not self.refused.isdisjoint(origins(rows)):
            msg = "a value that nobody may see"
            raise pa.ArrowInvalid(msg)
        return super().write(rows)

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        self._live()
        super().commit(files, transactions)
        self.commits_since_open += len(files)
        if self._budget.left is not None:
            self._budget.left -= 1

    def _live(self) -> None:
        if self._budget.left == 0:
            raise Crash


class Recorded(CommittedOffsets):
    """Offsets of every commit, by number of the partition."""

    def __init__(self, told: list[Mapping[int, int]]) -> None:
        super().__init__("semloop-test")
        self._told = told

    def put(self, offsets: Mapping[Partition, int]) -> None:
        super().put(offsets)
        self._told.append({p.number: offset for p, offset in offsets.items()})


class Archive:
    """One writer of two partitions, its clock and what it told others."""

    def __init__(self, lake: Path, log: StreamId = LOG, **settings: Any) -> None:
        self.settings = load({}, lake=str(lake), **settings)
        self.storage = Storage.of(self.settings)
        self.now = NOW.timestamp()
        self.metrics = Metrics()
        self.told: list[Mapping[int, int]] = []
        self.waits: list[float] = []
        self.answers: list[Exception] = []
        clock = lambda: self.now  # noqa: E731
        context = FlowContext(
            self.settings, self.storage, self.metrics, clock, self._open_log
        )
        committed = Recorded(self.told)
        self.budget = CommitBudget()
        self.tables = ArchiveTables(context, log, [0, 1], self._same_topic, committed)
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
        if self.answers:
            raise self.answers.pop(0)

    def started(self, **options: bool) -> "Archive":
        self.tables.take_over(**options)
        return self

    def poll(self, *offsets: int, partition: int = 0, **options: Any) -> None:
        """Events of these offsets; without any, a tick."""
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


def named(decoded: Decoded, *ids: str, once: bool = True) -> Decoded:
    """The same rows under these ids: events first, then dead letters."""
    cut = decoded.events.num_rows
    return replace(
        decoded,
        events=_with_ids(decoded.events, "event_id", ids[:cut]),
        dead_letters=_with_ids(decoded.dead_letters, "id", ids[cut:]),
        redelivered_ids=frozenset(ids if once else ()),
    )


def _with_ids(
    rows: pa.RecordBatch, column: str, ids: tuple[str, ...]
) -> pa.RecordBatch:
    at = rows.schema.get_field_index(column)
    return rows.set_column(at, column, pa.array(ids, pa.string()))
