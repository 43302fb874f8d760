"""How long compaction delays a commit of `archive`; `just bench-compact-delay`.

A writer like `archive` commits 50 events at a time to a lake of its own. `semloop
maintain compact --every 1` runs in another process; it is stopped (SIGSTOP) in every
other stretch of commits, so that other load on the machine falls on both alike. The
output shows quantiles of the duration of a commit, in milliseconds, how many commits
were tried again, and how many files were merged.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from schemas.arrow import EVENTS
from semloop import layout
from semloop.delta.streams import Partition, StreamId, Streams
from semloop.storage.location import Storage
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.table_log import TableLog
from sinks.delta.takeover import Takeover

STRETCHES = 20
COMMITS = 40
EVENTS_PER_COMMIT = 50
PERIOD_S = 0.25
STREAM = StreamId("archive", "bench", "bench", "bench")
PARTITION = Partition(STREAM.topic_id, 0)
QUANTILES = (0.5, 0.9, 0.99)


class Writer:
    """Commits rows of one partition, and opens the table again as `archive` does."""

    def __init__(self, storage: Storage) -> None:
        layout.bind(storage)
        create(storage, "events")
        self.retried = self.offset = 0
        log, streams = TableLog(storage, "events"), Streams.of(STREAM)
        self._table = FencedTable(log, streams, [PARTITION], on_retry=self._count)
        Takeover(self._table, []).run()

    def _count(self, table: str, cause: str) -> None:
        self.retried += 1

    def commit_ms(self) -> float:
        """Commit the next rows; return the duration."""
        rows = self._rows()
        began_s = time.perf_counter()
        self._table.commit(rows, {PARTITION: self.offset - 1})
        took_ms = (time.perf_counter() - began_s) * 1e3
        if self._table.commits_since_open >= 100:
            self._table.reopen()
        return took_ms

    def _rows(self) -> pa.Table:
        now, first = datetime.now(UTC), self.offset
        self.offset += EVENTS_PER_COMMIT
        rows = [
            {
                "event_id": f"e{number}", "type": "message", "ts": now,
                "session_id": f"s{number // 20}", "payload": f'{{"n": {number}}}',
                "topic": STREAM.topic, "topic_id": STREAM.topic_id,
                "kafka_partition": 0, "kafka_offset": number, "kafka_ts": now,
                "ingested_at": now, "date": now.date(),
            }
            for number in range(first, self.offset)
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, EVENTS)


def measure(folder: str) -> None:
    """Commit with and without compaction, and print the results."""
    writer = Writer(Storage(folder))
    command = [sys.executable, "-m", "semloop", "maintain", "compact", "--every", "1"]
    environment = os.environ | {"SEMLOOP_LAKE": folder, "SEMLOOP_LOG_LEVEL": "error"}
    maintainer = subprocess.Popen(command, env=environment)
    took: dict[bool, list[float]] = {True: [], False: []}
    try:
        for stretch in range(STRETCHES):
            running = stretch % 2 == 0
            maintainer.send_signal(signal.SIGCONT if running else signal.SIGSTOP)
            for _ in range(COMMITS):
                took[running].append(writer.commit_ms())
                time.sleep(PERIOD_S)
    finally:
        maintainer.kill()
        maintainer.wait()
    merged = sum(1 for _ in Path(folder, "events").glob("date=*/compacted-*"))
    print(f"{'commit, ms':<28}" + "".join(f"{f'p{q * 100:g}':>8}" for q in QUANTILES))
    for running, values in took.items():
        ordered = sorted(values)
        name = "while compaction runs" if running else "while it is stopped"
        figures = [ordered[int(len(ordered) * q)] for q in QUANTILES]
        shown = "".join(f"{value:8.1f}" for value in figures)
        print(f"{name:<28}{shown}   max {ordered[-1]:.1f}")
    print(f"{writer.retried} commits tried again, {merged} merged files")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        measure(f"{scratch}/lake")
