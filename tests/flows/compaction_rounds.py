"""Two maintainers, of which one is frozen or killed, alongside a writer and readers."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import duckdb

from flows.compact import compact
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.sinks.episodes_table import EpisodesTable
from tests.sources.events_table import EventsTable
from tests.support.processes import ROOT, environment
from tests.support.services import wait_for

PARTITIONS = (0, 1)
EPISODES = (0, 1, 2)
# Commits of a round, and the longest that a maintainer is frozen.
COMMITS = 20
# Between two reads of a reader, so that readers do not take all cores.
READ_PAUSE_S = 0.05
FROZEN_S = 1.0


class Maintainer:
    """A process that compacts a lake in a loop; it may be frozen and killed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.runs = self.merged = self.lost = 0
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.flows.compaction_process"],
            env=environment(self._settings, SEMLOOP_LOG_LEVEL="error"),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, args=(self.process,))
        self._thread.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            _, merged, lost = line.split()
            self.runs += 1
            self.merged += int(merged)
            self.lost += int(lost)

    def wait_for_run(self) -> None:
        seen = self.runs
        wait_for("a run of compaction", lambda: self.runs > seen)

    def freeze(self, seconds: float, meanwhile: Callable[[], None] | None) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        if meanwhile is not None:
            meanwhile()
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def restart(self) -> None:
        assert self.process.poll() is None, "a maintainer failed"
        self.kill()
        self._start()


@dataclass
class Appends:
    """Writers like `archive` and `memory`, and the bounds of what a reader may see.

    Each commit is also the next revision of all episodes. `begun`, `done`: commits that were begun and that ended. `slowest_s`: of them.
    `retried`: causes of attempts that were refused.
    """

    table: EventsTable
    episodes: EpisodesTable
    begun: int = 0
    done: int = 0
    slowest_s: float = 0.0
    retried: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table.table._on_retry = lambda table, cause: self.retried.append(cause)

    def commit(self) -> None:
        self.begun += 1
        began_s = time.monotonic()
        self.table.commit(*((p, self.begun - 1) for p in PARTITIONS))
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        self.episodes.commit(*EPISODES)
        self.done += 1
        for table in (self.table.table, self.episodes.table):
            if table.commits_since_open >= 100:
                table.reopen()


class Readers:
    """Threads that count the rows, each by another reader of the log."""

    def __init__(self, storage: Storage, settings: Settings, appends: Appends) -> None:
        self._storage, self._settings, self._appends = storage, settings, appends
        self._stop = threading.Event()
        self.wrong: list[str] = []
        self.reads = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._run, args=(read,))
            for read in (self._read_duckdb, self._read_deltalake, self._read_episodes)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _run(self, read: Callable[[], tuple[int, int]]) -> None:
        while not self._stop.wait(READ_PAUSE_S):
            least = self._appends.done
            try:
                rows, distinct = read()
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                return
            most = self._appends.begun
            self.reads += 1
            if rows != distinct or not least <= rows // len(PARTITIONS) <= most:
                self.wrong.append(f"{least} <= {rows} {distinct} <= {most}")

    def _read_duckdb(self) -> tuple[int, int]:
        with Lake(settings=self._settings) as lake:
            return _counted(lake.sql(f"{COUNT} FROM events"))

    def _read_deltalake(self) -> tuple[int, int]:
        rows = (
            self._storage.open("events")
            .to_pyarrow_dataset()
            .scanner(columns=["kafka_partition", "kafka_offset"])
        )
        found = rows.to_table()
        return _counted(
            duckdb.connect().from_arrow(found).query("t", f"{COUNT} FROM t")
        )

    def _read_episodes(self) -> tuple[int, int]:
        with Lake(settings=self._settings) as lake:
            query = "SELECT count(*), min(revision), max(revision) FROM episodes"
            ((count, least, most),) = lake.sql(query).fetchall()
        assert count == len(EPISODES), f"{count} episodes"
        return len(PARTITIONS) * least, len(PARTITIONS) * most


COUNT = "SELECT count(*), count(DISTINCT (kafka_partition, kafka_offset))"


def _counted(relation: duckdb.DuckDBPyRelation) -> tuple[int, int]:
    row = relation.fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def run_rounds(
    settings: Settings,
    rounds: int,
    seed: int,
    meanwhile: Callable[[], None] | None = None,
) -> str:
    """Commit, freeze and kill; return what was seen, after checking every row.

    `meanwhile`: called before a frozen maintainer is woken. Then the metadata of the
    table may change, with which commits conflict once.
    """
    chosen = random.Random(seed)
    storage = Storage.of(settings)
    table = EventsTable(storage, step=timedelta(seconds=1))
    appends = Appends(table, EpisodesTable(storage))
    appends.commit()
    maintainers = [Maintainer(settings) for _ in range(2)]
    readers = Readers(storage, settings, appends)
    try:
        for maintainer in maintainers:
            maintainer.wait_for_run()
        with readers.running():
            for number in range(rounds):
                frozen = threading.Thread(
                    target=chosen.choice(maintainers).freeze,
                    args=(chosen.uniform(0, FROZEN_S), meanwhile),
                )
                frozen.start()
                for _ in range(COMMITS):
                    appends.commit()
                frozen.join()
                if number % 5 == 4:
                    chosen.choice(maintainers).restart()
        assert all(m.process.poll() is None for m in maintainers), "a maintainer failed"
    finally:
        for maintainer in maintainers:
            maintainer.kill()
    assert readers.wrong == []
    allowed = {"moved"} if meanwhile else set()
    assert set(appends.retried) <= allowed
    assert set(appends.episodes.refused) <= allowed
    compact(settings)
    uris = storage.open("events").file_uris()
    expected = sorted((p, o) for p in PARTITIONS for o in range(appends.done))
    with Lake(settings=settings) as lake:
        query = "SELECT kafka_partition, kafka_offset FROM events ORDER BY ALL"
        assert lake.sql(query).fetchall() == expected
    assert appends.episodes.shown() == appends.episodes.expected()
    revisions = len(appends.episodes.stored())
    merged, lost = (sum(getattr(m, n) for m in maintainers) for n in ("merged", "lost"))
    return (
        f"{rounds} rounds, {appends.done} commits, slowest {appends.slowest_s:.3f} s, "
        f"{merged} merges, {lost} lost races, {readers.reads} reads, {len(uris)} files, "
        f"{revisions} of {appends.done * len(EPISODES)} revisions"
    )
