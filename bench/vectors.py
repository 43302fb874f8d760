"""Costs of the table of memories at several sizes; `just bench-vectors [ROWS...]`.

Default sizes: 20,000 and 100,000 rows; 1,000,000 need 10 GB of disk and half an hour.
Rows are synthetic: texts with the word frequencies of a natural language, vectors
around centers. The last fifth is written after maintenance, so it is not indexed, like
recent rows. Prints medians and 95th percentiles in milliseconds, then JSON.
"""

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import rich.console
import rich.table
from lancedb.index import IvfFlat, IvfRq
from numpy.typing import NDArray

from schemas.arrow import memories as schema_of
from semloop.lake import generations
from semloop.storage.location import Storage
from sinks.vectors import maintenance
from sinks.vectors.table import VectorTable

if TYPE_CHECKING:
    from lancedb.table import Table

DIMENSION = 384
MODEL = "bench"
SCHEMA = schema_of(DIMENSION, MODEL)
COMMIT = 2_000
SMALL_COMMIT = 50
NEAREST = 200
QUERIES = 40
SESSION_ROWS = 25
CENTERS, NOISE = 2_000, 0.8
WORDS = 30_000
# Of 1,000 sessions, one is in namespace `rare`, and about 50 in each of 20 others.
COMMON, RARE = "namespace = 'n3'", "namespace = 'rare'"
INDEXES: dict[str, Callable[[], IvfFlat | IvfRq]] = {
    "IVF_FLAT": lambda: IvfFlat(distance_type="dot"),
    "IVF_RQ": lambda: IvfRq(distance_type="dot"),
}

random = np.random.default_rng(0)
centers = random.normal(size=(CENTERS, DIMENSION)).astype(np.float32)
centers /= np.linalg.norm(centers, axis=1, keepdims=True)
Figures = dict[str, Any]


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalize vectors to length 1."""
    found: NDArray[np.float32] = vectors / np.linalg.norm(
        vectors, axis=1, keepdims=True
    )
    return found


def some_vectors(count: int) -> NDArray[np.float32]:
    """Return random vectors near the centers."""
    chosen = random.integers(0, CENTERS, count)
    noise = random.normal(size=(count, DIMENSION)).astype(np.float32)
    return unit(centers[chosen] + NOISE / np.sqrt(DIMENSION) * noise)


def some_text(count: int = 25) -> str:
    """Return random words; those with low numbers are the most frequent."""
    return " ".join(f"w{i}" for i in np.minimum(random.zipf(1.15, count), WORDS))


def namespace(session: int) -> str:
    """Return the namespace of a session; one in 1,000 is `rare`."""
    return "rare" if session % 1000 == 999 else f"n{session % 20}"


def rows(start: int, count: int) -> pa.Table:
    """Return memories with the schema that the sink expects."""
    numbers = range(start, start + count)
    texts = [some_text() for _ in numbers]
    digest = hashlib.blake2b
    columns = {name: pa.nulls(count, SCHEMA.field(name).type) for name in SCHEMA.names}
    columns |= {
        "id": pa.array(
            [digest(b"%d" % i, digest_size=16).digest() for i in numbers],
            SCHEMA.field("id").type,
        ),
        "kind": pa.array(["event"] * count),
        "type": pa.array(["message"] * count),
        "text": pa.array(texts),
        "search_text": pa.array([f"a: {text}" for text in texts]),
        "words": pa.array([f"a {text}" for text in texts]),
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(some_vectors(count).ravel()), DIMENSION
        ),
        "model": pa.array([MODEL] * count),
        "ts": pa.array(
            [1_700_000_000_000_000 + i * 1_000_000 for i in numbers],
            SCHEMA.field("ts").type,
        ),
        "agent": pa.array([f"a{i // SESSION_ROWS % 7}" for i in numbers]),
        "session_id": pa.array([f"s{i // SESSION_ROWS}" for i in numbers]),
        "episode_id": pa.array([f"{i // SESSION_ROWS:032x}" for i in numbers]),
        "seq": pa.array([i % SESSION_ROWS for i in numbers], pa.int64()),
        "namespace": pa.array([namespace(i // SESSION_ROWS) for i in numbers]),
        "writer": pa.array([1] * count, pa.int64()),
    }
    return pa.table(columns, schema=SCHEMA)


def timed(step: Callable[[], object]) -> float:
    """Return the seconds that a step takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def spread(step: Callable[[int], object], times: int = QUERIES) -> Figures:
    """Return the milliseconds of a step, repeated after one warm-up."""
    step(0)
    found = [1e3 * timed(lambda: step(i)) for i in range(times)]  # noqa: B023
    p50, p95 = np.percentile(found, [50, 95])
    return {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1)}


def fill(sink: VectorTable, start: int, end: int) -> None:
    """Merge rows in large commits."""
    for at in range(start, end, 20_000):
        sink.merge(rows(at, min(20_000, end - at)))


def nearest(table: "Table", vector: NDArray[np.float32], where: str = "") -> set[bytes]:
    """Return the ids of the nearest rows, with the query that recall uses."""
    query: Any = table.search(vector)
    if where:
        query = query.where(where, prefilter=True)
    query = query.distance_type("dot")
    found = query.select(["id", "text", "_distance"]).limit(NEAREST).to_arrow()
    return set(found["id"].to_pylist())


def searches(table: "Table", exact: list[set[bytes]] | None = None) -> Figures:
    """Time vector searches without and with filters, and measure an index's recall."""
    queries = some_queries()
    figures: Figures = {}
    for name, where in (("all", ""), ("5 %", COMMON), ("0.1 %", RARE)):
        found = spread(lambda i: nearest(table, queries[i], where))  # noqa: B023
        figures |= {f"vectors, {name}, {key}": value for key, value in found.items()}
    if exact is not None:
        shares = [
            len(nearest(table, vector) & truth) / NEAREST
            for vector, truth in zip(queries, exact, strict=True)
        ]
        figures["recall@200"] = round(float(np.mean(shares)), 3)
    return figures


def some_queries() -> NDArray[np.float32]:
    """Return the same query vectors at each call."""
    global random
    saved, random = random, np.random.default_rng(1)
    queries, random = some_vectors(QUERIES), saved
    return queries


def neighbours(table: "Table", number: int, sessions: int) -> int:
    """Find 40 rows by episode and position, with the query that recall uses."""
    chosen = [(number * 37 + i * 101) % sessions for i in range(40)]
    pairs = (f"(episode_id = '{i:032x}' AND seq IN (3, 5))" for i in chosen)
    condition = " OR ".join(pairs)
    query = table.search().where(condition).select(["id", "text", "vector"])
    return int(query.limit(200).to_arrow().num_rows)


def words(table: "Table", number: int, where: str = "") -> int:
    """Find the best rows by full text."""
    picked = np.random.default_rng(number).integers(5, 3_000, 4)
    text = " ".join(f"w{i}" for i in picked)
    query: Any = table.search(text, query_type="fts", fts_columns="words")
    if where:
        query = query.where(where, prefilter=True)
    return int(query.select(["id", "_score"]).limit(NEAREST).to_arrow().num_rows)


def maintain(storage: Storage) -> Figures:
    """Time one run of maintenance."""
    return {"s": round(timed(lambda: maintenance.maintain(storage, 1)), 1)}


def small_commits(sink: VectorTable, start: int) -> Figures:
    """Time merges by the number of commits since the last maintenance."""
    commits = [rows(start + i, SMALL_COMMIT) for i in range(0, 25_000, SMALL_COMMIT)]
    took = [1e3 * timed(lambda: sink.merge(some)) for some in commits]  # noqa: B023
    counts = (20, 100, 250, 500)
    return {str(n): round(float(np.median(took[n - 20 : n])), 1) for n in counts}


def measure(count: int, folder: str) -> Iterator[tuple[str, Figures]]:
    """Yield the figures of one size, step by step."""
    storage = Storage(folder)
    sink = VectorTable(storage, 1, DIMENSION, MODEL)
    sink.open()
    fill(sink, 0, count * 4 // 5)
    yield "first maintenance", maintain(storage)
    fill(sink, count * 4 // 5, count)
    table = generations.open_table(generations.connect(storage, 60), 1)
    assert table is not None
    sessions = count // SESSION_ROWS
    yield "full text, a fifth unindexed", spread(lambda i: words(table, i))
    yield (
        "neighbours, a fifth unindexed",
        spread(lambda i: neighbours(table, i, sessions)),
    )
    commits = [rows(10**9 + i, COMMIT) for i in range(0, 16 * COMMIT, COMMIT)]
    merging = spread(lambda _: sink.merge(commits.pop()), 15)
    yield "commit of 2,000, a fifth or more unindexed", merging
    yield "largest_writer", spread(lambda _: sink.largest_writer(), 10)
    yield "second maintenance", maintain(storage)
    table.checkout_latest()  # type: ignore[no-untyped-call]
    yield "full text", spread(lambda i: words(table, i))
    yield "full text, 5 %", spread(lambda i: words(table, i, COMMON))
    yield "neighbours", spread(lambda i: neighbours(table, i, sessions))
    yield "flat", searches(table)
    exact = [nearest(table, vector) for vector in some_queries()]
    for name, config in INDEXES.items():
        built = timed(lambda: table.create_index("vector", config=config()))  # noqa: B023
        yield name, {"built_s": round(built, 1)} | searches(table, exact)
    yield "ms per commit of 50, by number of commits", small_commits(sink, 2 * 10**9)


def main() -> None:
    """Run the benchmark and print the results."""
    # No automatic index: this benchmark builds and compares each kind.
    maintenance.ROWS_WITHOUT_INDEX = 10**12
    sizes = [int(size) for size in sys.argv[1:]] or [20_000, 100_000]
    found: dict[str, dict[str, Figures]] = {}
    for size in sizes:
        table = rich.table.Table("step", "figures", title=f"{size:,} rows")
        with tempfile.TemporaryDirectory() as folder:
            for step, figures in measure(size, folder):
                found.setdefault(str(size), {})[step] = figures
                line = ", ".join(f"{name} {value}" for name, value in figures.items())
                table.add_row(step, line)
                print(f"{size} {step}: {line}", file=sys.stderr, flush=True)
        rich.console.Console().print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
