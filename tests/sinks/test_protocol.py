"""The real sink under crashes, rivals and lost replies, interleaved step by step.

Seeded schedules: writers of overlapping partitions poll the same records, are stopped
before or after a store operation, are overtaken in the middle of a commit, lose the
store's reply, find their table rewritten, and judge a record differently at each
attempt. In every schedule, each record must be in exactly one table, once. Another test
breaks each rule of the protocol, and some schedule must detect it: a test that cannot
fail proves nothing.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
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
from tests.sinks.broken_rules import (
    FollowsBlindly,
    OnlyMoved,
    RetriesBlindly,
    SideFirst,
    SideUnfenced,
    WithoutEpochs,
    forget_dead_letters,
)
from tests.sinks.wrapped_log import WrappedLog
from tests.support.builders import LOG, decoded_rows

pytestmark = [pytest.mark.usefixtures("fast_retries"), pytest.mark.slow]

PARTITIONS, RECORDS = 3, 40
OWNED = ([0, 1, 2], [0, 1, 2], [0, 1], [1, 2])
EVERY = {(p, o) for p in range(PARTITIONS) for o in range(RECORDS)}


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
        self.storm.after_resume(self.tables)
        while True:
            yield
            self._poll(offsets)

    def _poll(self, offsets: dict[int, int]) -> None:
        rng = self.storm.rng
        good: list[tuple[int, int]] = []
        dead: list[tuple[int, int]] = []
        for p in self.owned:
            if rng.random() < 0.7:
                stop = min(RECORDS, offsets[p] + 1 + rng.randrange(1, 9))
                for o in range(offsets[p] + 1, stop):
                    (dead if rng.random() < 0.2 else good).append((p, o))
                offsets[p] = stop - 1
        self.loop.add(decoded_rows(good, dead, offsets, last=True))

    @property
    def done(self) -> bool:
        offsets = self._main.offsets if self._main else {}
        return bool(offsets) and all(o == RECORDS - 1 for o in offsets.values())


class Storm:
    """A schedule: which writer runs its next step, and which faults occur."""

    wrap_log: Callable[[DeltaLog], DeltaLog] = staticmethod(lambda log: log)
    takeover_class: type[Takeover] = Takeover
    after_resume: Callable[[ArchiveTables], None] = staticmethod(lambda tables: None)

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
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
        return self.wrap_log(StormyLog(TableLog(storage, name), self))

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
            self._step(writer)
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
            self._step(self.rng.choice(idle))

    def _step(self, writer: Writer) -> None:
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
        return len(EVERY - found.keys()), duplicated


def check(storm: Storm) -> None:
    storm.run()
    assert not storm.excluded, dict(storm.seen)
    assert storm.audit() == (0, 0), dict(storm.seen)


@pytest.mark.parametrize("seed", range(3))
def test_every_record_is_stored_once_despite_faults(tmp_path: Path, seed: int) -> None:
    check(Storm(tmp_path, seed))


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_every_record_is_stored_once_in_many_more_schedules(tmp_path: Path) -> None:
    for seed in range(1000, 1300):
        check(Storm(tmp_path / str(seed), seed))


def rivals(folder: Path, order: tuple[int, ...], takeover: type[Takeover]) -> int:
    """Run the steps of two writers in an order; return how many could commit."""
    folder.mkdir()
    storm = type("Rivals", (Storm,), {"takeover_class": takeover})(folder, 0)
    storm.calm = True
    writers = [Writer(storm, [0, 1, 2]), Writer(storm, [0, 1, 2])]
    storm.writers = list(writers)
    for writer in writers:
        next(writer.steps)  # Open the tables.
    for turn in order + (0, 1) * 4:  # Then four polls each.
        if writers[turn] in storm.writers:
            storm._step(writers[turn])
    assert storm.audit()[1] == 0
    return len(storm.writers)


# Orders of three steps of two writers: fence main table, fence side table, resume.
ORDERS = sorted(set(itertools.permutations((0, 0, 0, 1, 1, 1))))


def test_exactly_one_of_two_rivals_continues_in_every_interleaving(
    tmp_path: Path,
) -> None:
    for number, order in enumerate(ORDERS):
        assert rivals(tmp_path / str(number), order, Takeover) == 1, order


def test_rivals_both_stop_if_the_side_table_is_fenced_first(tmp_path: Path) -> None:
    for number, order in enumerate(ORDERS):
        if not rivals(tmp_path / str(number), order, SideFirst):
            return
    pytest.fail("no order stopped both rivals: the order of the tables does not matter")


BROKEN: dict[str, dict[str, Any]] = {
    "epochs are not increased": {"takeover_class": WithoutEpochs},
    "side table is not fenced": {"wrap_log": SideUnfenced},
    "commits carry only moved partitions": {"wrap_log": OnlyMoved},
    "new entries are not read": {"wrap_log": FollowsBlindly},
    "failed commits are retried without a check": {"wrap_log": RetriesBlindly},
    "dead letters are forgotten": {"after_resume": staticmethod(forget_dead_letters)},
}


# The quickest schedule that detects the violation. Another one is searched for if a
# change of the sink makes it miss.
FIRST_SEED = {
    "epochs are not increased": 3,
    "side table is not fenced": 2,
    "commits carry only moved partitions": 1,
    "new entries are not read": 7,
    "failed commits are retried without a check": 2,
    "dead letters are forgotten": 2,
}


@pytest.mark.parametrize("rule", BROKEN)
def test_breaking_a_rule_is_detected(tmp_path: Path, rule: str) -> None:
    broken = type("BrokenStorm", (Storm,), BROKEN[rule])
    first = FIRST_SEED[rule]
    for seed in range(first, first + 40):
        storm = broken(tmp_path / str(seed), seed)
        storm.run()
        if storm.excluded or storm.audit() != (0, 0):
            return
    pytest.fail(f"40 schedules detected no fault although {rule}")
