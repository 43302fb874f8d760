"""Size of the table of memories under small commits; `just bench-growth [MINUTES]`.

Commits 50 memories a time, as one-second commits of 50 events a second would, without
waiting in between, and runs the maintenance of `semloop up` after as many commits as
fall into its interval; half an hour without commits follows. Ages are shortened alike:
what an hour would leave behind is there after minutes. Prints after each run of
maintenance the bytes of the folder and of what the newest version needs, fragments,
versions, segments of indexes, the processor time of maintenance and of the commits
since the last one, and the memory of the writing process; then JSON.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from vectors import DIMENSION, MODEL, rows

from semloop.lake import generations
from semloop.storage.location import Storage
from sinks.vectors.table import VectorTable

COMMIT_ROWS = 50
# `index_every_s`, with a commit a second.
RUN_COMMITS = 300
# Runs after the last commit.
QUIET_RUNS = 6
MAINTAIN = """
import sys
from semloop.storage.location import Storage
from sinks.vectors import maintenance
factor = float(sys.argv[2])
maintenance.VERSION_RETENTION *= factor
maintenance.VERSION_AGE_MAX *= factor
maintenance.maintain(Storage(sys.argv[1]), 1)
"""


@dataclass(frozen=True)
class Sample:
    """The table after a run of maintenance; sizes in MB, times in seconds of CPU."""

    commits: int
    rows: int
    folder: float
    live: float
    ratio: float
    fragments: int
    versions: int
    segments: int
    unindexed: int
    maintain_s: float
    maintain_mb: float
    commits_s: float
    rss: float


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def live_bytes(folder: Path) -> tuple[int, dict[str, int]]:
    """Return the bytes that the newest version needs, and counts of its parts."""
    table = generations.open_table(generations.connect(Storage(str(folder))), 1)
    assert table is not None
    statistics: Any = table.stats()
    indexes: Any = table.list_indices()
    manifests = list(folder.rglob("*.manifest"))
    newest = max(manifests, key=lambda path: path.stat().st_mtime)
    # Data and indexes.
    live = statistics["total_bytes"] + newest.stat().st_size
    return live, {
        "rows": statistics["num_rows"],
        "fragments": statistics["fragment_stats"]["num_fragments"],
        "versions": len(manifests),
        "segments": sum(index.num_segments or 1 for index in indexes),
        "unindexed": max(index.num_unindexed_rows or 0 for index in indexes),
    }


def maintain(folder: Path, factor: float) -> tuple[float, float]:
    """Run maintenance in a process of its own; return its CPU seconds and MB written.

    Args:
        folder: the lake.
        factor: by which ages are shortened.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", MAINTAIN, str(folder), str(factor)]
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, (after.ru_oublock - before.ru_oublock) * 512 / 1e6


def measure(folder: Path, minutes: int) -> list[Sample]:
    """Commit and maintain; print a line and keep a sample after each run."""
    sink, own = VectorTable(Storage(str(folder)), 1, DIMENSION, MODEL), psutil.Process()
    sink.open()
    found: list[Sample] = []
    times: list[float] = []
    commits, factor = minutes * 60, 1.0
    for start in range(0, commits + QUIET_RUNS * RUN_COMMITS, RUN_COMMITS):
        before = time.process_time()
        if start >= commits:
            time.sleep(factor * RUN_COMMITS)
        for number in range(start, min(start + RUN_COMMITS, commits)):
            sink.merge(rows(number * COMMIT_ROWS, COMMIT_ROWS))
            times.append(time.monotonic())
        used = time.process_time() - before
        # Seconds that a commit took here, for one that takes a second.
        factor = (times[-1] - times[-RUN_COMMITS]) / RUN_COMMITS
        maintain_s, written = maintain(folder, factor)
        live, counts = live_bytes(folder)
        total = folder_bytes(folder)
        sample = Sample(
            commits=min(start + RUN_COMMITS, commits), folder=round(total / 1e6, 1),
            live=round(live / 1e6, 1), ratio=round(total / live, 2),
            maintain_s=round(maintain_s, 1), maintain_mb=round(written, 1),
            commits_s=round(used, 1), rss=round(own.memory_info().rss / 2**20),
            **counts,
        )  # fmt: skip
        found.append(sample)
        values = asdict(sample).items()
        print(" ".join(f"{name}={value}" for name, value in values), flush=True)
    return found


def main() -> None:
    """Run the benchmark."""
    minutes = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        found = measure(Path(folder), minutes)
    print(json.dumps([asdict(sample) for sample in found]))


if __name__ == "__main__":
    main()
