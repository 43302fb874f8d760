"""Seeded schedules of writers that share a table, and the faults that occur in them.

Writers of overlapping partitions poll the same records, are stopped before or after a
store operation, are overtaken in the middle of a commit, lose the store's reply, find
their table rewritten, and judge a record differently at each attempt.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import write_deltalake
from deltalake.transaction import AddAction

from schemas.metrics import Metrics
from semloop.errors import LakeError, StorageUnavailable, TakenOver
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sinks.archive_tables import ArchiveTables
from sinks.commit_loop import CommitLoop
from sinks.delta.delta_log import DeltaLog
from sinks.delta.fenced_table import FencedTable
from sinks.delta.table_log import TableLog
from sinks.delta.takeover import Takeover
from sinks.flow_tables import FlowContext
from tests.sinks.archive_builder import Crash
from tests.sinks.wrapped_log import WrappedLog
from tests.support.builders import LOG, decoded_rows

PARTITIONS, RECORDS = 3, 20
OWNED = ([0, 1, 2], [0, 1, 2], [0, 1], [1, 2])


class StormyLog(WrappedLog):
    """A log whose store loses replies and fails, and that other writers share."""

    def __init__(self, log: DeltaLog, storm: "Storm") -> None:
        super().__init__(log)
        self._storm = storm

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        occurs = self._storm.occurs
        if occurs(0.15):
            self._storm.step_another()
        if occurs(0.03):
            raise Crash
        if occurs(0.06):
            # The store commits and its reply is lost; the library retries and
            # conflicts with its own entry.
            try:
                super().commit(files, transactions)
                self._storm.seen["lost replies"] += 1
            except Exception:
                self._storm.seen["lost nothing"] += 1
        super().commit(files, transactions)
        if occurs(0.15):
            self._storm.step_another()
        if occurs(0.03):
            raise Crash

    def entries(self, since: int) -> Iterator[Mapping[str, int] | None]:
        for entry in super().entries(since):
            if self._storm.occurs(0.1):
                self._storm.seen["unread entries"] += 1
                msg = "It does not answer."
                raise StorageUnavailable(msg)
            yield entry


class Writer:
    """A simulated process: opens, takes over step by step, polls and commits."""

    def __init__(self, storm: "Storm", owned: list[int]) -> None:
        self.storm = storm
        clock, open_log = storm.clock, storm.open_log
        context = FlowContext(storm.settings, storm.storage, Metrics(), clock, open_log)
        self.tables = ArchiveTables(context, LOG, owned)
        self.loop = CommitLoop(storm.settings, self.tables, clock)
        self._main: FencedTable | None = None
        self.owned = owned
        self.busy = False
        self.steps = self._run()

    def _run(self) -> Iterator[None]:
        self._main, sides = self.tables.open()
        takeover = self.storm.takeover_class(self._main, sides)
        for fence in (
            takeover.fence_main,
            *(lambda side=side: takeover.fence_side(side) for side in takeover.sides),
        ):
            yield
            while not fence():
                yield
        yield
        resumed = self.tables.resume()
        offsets = {p.number: offset for p, offset in resumed.items()}
        while True:
            yield
            self._poll(offsets)

    def _poll(self, offsets: dict[int, int]) -> None:
        rng = self.storm.rng
        good: list[tuple[int, int]] = []
        dead: list[tuple[int, int]] = []
        for p in self.owned:
            if rng.random() < 0.7:
                stop = min(self.storm.records, offsets[p] + 1 + rng.randrange(1, 9))
                for o in range(offsets[p] + 1, stop):
                    (dead if rng.random() < 0.2 else good).append((p, o))
                offsets[p] = stop - 1
        self.loop.add(decoded_rows(good, dead, offsets, last=True))

    @property
    def done(self) -> bool:
        offsets = self._main.offsets if self._main else {}
        return bool(offsets) and all(
            offset == self.storm.records - 1 for offset in offsets.values()
        )


class Storm:
    """A schedule: which writer runs its next step, and which faults occur."""

    takeover_class: type[Takeover] = Takeover

    def __init__(self, folder: Path, seed: int, records: int = RECORDS) -> None:
        """Start nothing yet; `records`: how many each partition has."""
        self.rng = random.Random(seed)
        self.records = records
        self.settings: Settings = load({}, lake=str(folder), storage_retry_s=5)
        self.storage = Storage.of(self.settings)
        self.writers: list[Writer] = []
        self.seen: Counter[str] = Counter()
        self.now = 1_800_000_000.0
        self.excluded = False
        self.calm = False

    def clock(self) -> float:
        self.now += 0.01
        return self.now

    def open_log(self, storage: Storage, name: str) -> DeltaLog:
        return StormyLog(TableLog(storage, name), self)

    def occurs(self, chance: float) -> bool:
        return not self.calm and self.rng.random() < chance

    def run(self) -> None:
        """Run steps in a random order until a writer has committed all records."""
        for _ in range(400):
            rng = self.rng
            if len(self.writers) < 2 or (len(self.writers) < 3 and rng.random() < 0.05):
                self.writers.append(Writer(self, rng.choice(OWNED)))
            if rng.random() < 0.02:
                self._rewrite()
            writer = rng.choice(self.writers)
            self.step(writer)
            if writer.done and len(writer.owned) == PARTITIONS:
                break
        # A last writer, without rivals or faults, commits the remaining records.
        self.calm, self.writers = True, []
        final = Writer(self, [0, 1, 2])
        while not final.done:
            next(final.steps)

    def step_another(self) -> None:
        idle = [w for w in self.writers if not w.busy]
        if idle:
            self.step(self.rng.choice(idle))

    def step(self, writer: Writer) -> None:
        writer.busy = True
        try:
            next(writer.steps)
        except (Crash, TakenOver, StorageUnavailable) as error:
            self.seen[type(error).__name__] += 1
            if writer in self.writers:
                self.writers.remove(writer)
        except (AssertionError, LakeError):
            # The sink detected a state that the protocol excludes. Recorded for the
            # audit: this step may be nested in a step of another writer.
            self.excluded = True
            self.writers.remove(writer)
        finally:
            writer.busy = False

    def _rewrite(self) -> None:
        """Rewrite a table, as a retention run does."""
        name = self.rng.choice(["events", "dead_letters"])
        if not self.storage.has(name):
            return
        handle = self.storage.open(name)
        if not handle.file_uris():
            return
        files = duckdb.read_parquet(handle.file_uris(), hive_partitioning=True)
        rows = files.to_arrow_table()
        rows = rows.select(pa.schema(handle.schema().to_arrow()).names)
        rows = rows.cast(pa.schema(handle.schema().to_arrow()))
        write_deltalake(handle, rows, mode="overwrite", predicate="true")
        self.seen["rewrites"] += 1

    def audit(self) -> tuple[int, int]:
        """Count (lost, duplicated) records in both tables."""
        found: Counter[tuple[int, int]] = Counter()
        for name in ("events", "dead_letters"):
            uris = self.storage.open(name).file_uris()
            if uris:
                found.update(
                    duckdb.read_parquet(uris)
                    .project("kafka_partition, kafka_offset")
                    .fetchall()
                )
        duplicated = sum(count - 1 for count in found.values())
        every = {(p, o) for p in range(PARTITIONS) for o in range(self.records)}
        return len(every - found.keys()), duplicated
