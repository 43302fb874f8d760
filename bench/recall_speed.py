"""Speed of recall over synthetic memories, for `bench/recall.py`.

Alone: `python bench/recall_speed.py FOLDER SIZE...`, with `--engines memory` without
storage. Lakes of an earlier run in FOLDER are used again.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from synthetic_lake import write_synthetic_lake

from semloop import Lake
from semloop.lake.recall.searches import EXACT_ROWS
from semloop.settings import load

if TYPE_CHECKING:
    import pyarrow as pa

SIZES = (3_000, 100_000)
# Enough for all memories of these sizes.
MEMORY_MB = 4_096
QUERIES = 100
THREADS = 8
# Blocks of queries by one thread and by all, by turns.
TURNS, BLOCK = 5, 36
COLD_STARTS = 7
QUESTIONS = (
    "a payment was refused", "who fixed the failing test", "change the flight",
    "the customer wants her money back", "timeout while searching", "ship the order",
)  # fmt: skip
# Words of 6 to 50 % of the memories.
FREQUENT = ("order w3", "payment w9 w12", "change w20", "w4 refused w10")
RUNS: dict[str, tuple[Sequence[str], dict[str, Any]]] = {
    "all": (QUESTIONS, {}),
    "a namespace of 5 %": (QUESTIONS, {"namespace": "n3"}),
    "a high reward": (QUESTIONS, {"min_reward": 0.9}),
    "frequent words": (FREQUENT, {}),
}
Figures = dict[str, Any]


def speed(
    folder: Path, memories: int, engines: Sequence[str] = ("storage", "memory")
) -> Figures:
    """Compare recall from storage and in memory, by turns, and time the command."""
    settings = load(lake=str(folder / f"synthetic-{memories}"))
    if not Path(settings.lake).is_dir():
        write_synthetic_lake(settings, memories)
        semloop(Path(settings.lake), "maintain", "index")
    process: Figures = {}
    recalls: Figures = {}
    mb = {"storage": 0, "memory": MEMORY_MB}
    lakes = {
        name: Lake(settings=settings.replace(recall_memory_mb=mb[name]))
        for name in engines
    }
    for name, lake in lakes.items():
        before = psutil.Process().memory_info().rss
        for _ in range(5):
            lake.recall("the first queries load the model and the memories")
            lake._recall_engine().resident.wait()
        added = psutil.Process().memory_info().rss - before
        process[name] = {"added MB": added // 10**6}
    for name, (questions, filters) in RUNS.items():
        took: dict[str, list[float]] = {engine: [] for engine in lakes}
        for number in range(QUERIES):
            # A new query each time, since vectors of queries are cached.
            query = f"{questions[number % len(questions)]}, case {number} of {name}"
            answers = [timed(lakes[e], query, filters, took[e]) for e in lakes]
            assert answers[0].num_rows == 10, answers[0].num_rows
            assert memories > EXACT_ROWS or answers[0].equals(answers[-1])
        for engine, seconds in took.items():
            recalls[f"{name}, {engine}"] = quantiles(seconds, 1e3, "ms")
    for engine, lake in lakes.items():
        process[engine] |= threads(lake)
        lake.close()
    recalls["the command `semloop recall`"] = cold_starts(Path(settings.lake))
    return {"one recall": recalls, f"{THREADS} threads": process}


def cold_starts(lake: Path) -> Figures:
    """Time the command, which starts a process."""
    took = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(COLD_STARTS):
        begin_s = time.perf_counter()
        semloop(lake, "recall", QUESTIONS[0])
        took.append(time.perf_counter() - begin_s)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = sum(getattr(after, x) - getattr(before, x) for x in ("ru_utime", "ru_stime"))
    figures = quantiles(took, 1e3, "ms")
    return figures | {"ms of a processor": round(1e3 * used / COLD_STARTS)}


def timed(
    lake: Lake, query: str, filters: dict[str, Any], took: list[float]
) -> "pa.Table":
    """Recall, and add the seconds that it took."""
    begin_s = time.perf_counter()
    hits = lake.recall(query, **filters)
    took.append(time.perf_counter() - begin_s)
    return hits


def threads(lake: Lake) -> Figures:
    """Processors that threads keep busy, and their time for a recall."""
    cpu_ms: dict[int, list[float]] = {1: [], THREADS: []}
    busy: dict[int, list[float]] = {1: [], THREADS: []}
    for turn in range(TURNS + 1):
        for count in (1, THREADS):
            queries = [
                f"{QUESTIONS[n % len(QUESTIONS)]}, {count} threads {turn} {n}"
                for n in range(BLOCK)
            ]
            with ThreadPoolExecutor(count) as pool:
                begin_s, cpu_s = time.perf_counter(), time.process_time()
                list(pool.map(lambda query: lake.recall(query).num_rows, queries))
                used = time.process_time() - cpu_s
            # The first turn warms up.
            if turn:
                cpu_ms[count].append(1e3 * used / BLOCK)
                busy[count].append(used / (time.perf_counter() - begin_s))
    ratios = [all_ / one for one, all_ in zip(*cpu_ms.values(), strict=True)]
    return {
        "processors": round(statistics.median(busy[THREADS]), 2),
        "ms of a processor": round(statistics.median(cpu_ms[THREADS]), 1),
        "of one thread": round(statistics.median(cpu_ms[1]), 1),
        "ratio": round(statistics.median(ratios), 3),
    }


def quantiles(took: Sequence[float], scale: float, unit: str) -> Figures:
    """Return the median and the 95th percentile."""
    ordered = sorted(took)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return {
        f"p50 {unit}": round(statistics.median(ordered) * scale, 2),
        f"p95 {unit}": round(p95 * scale, 2),
    }


def semloop(lake: Path, *arguments: str) -> str:
    """Run a `semloop` command in a process."""
    environ = {**os.environ, "SEMLOOP_LAKE": str(lake)}
    command = [sys.executable, "-P", "-m", "semloop", *arguments]
    result = subprocess.run(
        command, env=environ, cwd=lake.parent, check=True, capture_output=True
    )
    return result.stdout.decode()


def main() -> None:
    """Print the figures of each size as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--engines", nargs="+", default=("storage", "memory"))
    given = parser.parse_args()
    for memories in given.sizes:
        found = speed(given.folder.absolute(), memories, given.engines)
        print(json.dumps({"memories": memories} | found, indent=2), flush=True)


if __name__ == "__main__":
    main()
