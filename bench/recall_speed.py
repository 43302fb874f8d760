"""Speed of recall over synthetic memories, for `bench/recall.py`."""

import os
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
FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "a namespace of 5 %": {"namespace": "n3"},
    "a high reward": {"min_reward": 0.9},
}
COLD_STARTS = 5
QUESTIONS = (
    "a payment was refused", "who fixed the failing test", "change the flight",
    "the customer wants her money back", "timeout while searching", "ship the order",
)  # fmt: skip
Figures = dict[str, Any]


def speed(folder: Path, memories: int) -> Figures:
    """Compare recall from storage and in memory, by turns, and time the command."""
    settings = load(lake=str(folder / f"synthetic-{memories}"))
    write_synthetic_lake(settings, memories)
    semloop(Path(settings.lake), "maintain", "index")
    process: Figures = {}
    recalls: Figures = {}
    engines = {
        "storage": settings.replace(recall_memory_mb=0),
        "memory": settings.replace(recall_memory_mb=MEMORY_MB),
    }
    lakes = {name: Lake(settings=settings) for name, settings in engines.items()}
    for name, lake in lakes.items():
        before = psutil.Process().memory_info().rss
        for _ in range(5):
            lake.recall("the first queries load the model and the memories")
            lake._recall_engine().resident.wait()
        added = psutil.Process().memory_info().rss - before
        process[name] = {"added MB": added // 10**6}
    for name, filters in FILTERS.items():
        took: dict[str, list[float]] = {engine: [] for engine in lakes}
        for number in range(QUERIES):
            # A new query each time, since vectors of queries are cached.
            query = f"{QUESTIONS[number % len(QUESTIONS)]}, case {number} of {name}"
            answers = [timed(lakes[e], query, filters, took[e]) for e in lakes]
            assert answers[0].num_rows == 10, answers[0].num_rows
            assert memories > EXACT_ROWS or answers[0].equals(answers[1])
        for engine, seconds in took.items():
            recalls[f"{name}, {engine}"] = quantiles(seconds, 1e3, "ms")
    for engine, lake in lakes.items():
        process[engine] |= threads(lake)
        lake.close()
    cold = []
    for _ in range(COLD_STARTS):
        begin_s = time.perf_counter()
        semloop(Path(settings.lake), "recall", QUESTIONS[0])
        cold.append(time.perf_counter() - begin_s)
    recalls["the command `semloop recall`"] = quantiles(cold, 1e3, "ms")
    return {"one recall": recalls, f"{THREADS} threads": process}


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

    def ask(name: str) -> list[int]:
        queries = [f"{q}, {name} {n}" for n in range(20) for q in QUESTIONS]
        pool = ThreadPoolExecutor(THREADS if name == "all" else 1)
        with pool:
            return list(pool.map(lambda q: lake.recall(q).num_rows, queries))

    spent = {}
    for name in ("one", "all"):
        begin_s, cpu_s = time.perf_counter(), time.process_time()
        count = len(ask(name))
        cpu = time.process_time() - cpu_s
        spent[name] = cpu / count, cpu / (time.perf_counter() - begin_s)
    return {
        "processors": round(spent["all"][1], 2),
        "ms of a processor": round(1e3 * spent["all"][0], 1),
        "of one thread": round(1e3 * spent["one"][0], 1),
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
