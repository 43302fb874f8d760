"""Builds rows of memories and their table, and reads the table."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.arrow import memories as schema_of
from semloop.lake import generations
from semloop.storage.location import Storage
from sinks.vectors.table import VectorTable

DIMENSION = 8
MODEL = "hashing/8"
SCHEMA = schema_of(DIMENSION, MODEL)


def memory_rows(numbers: Iterable[int], writer: int = 1, **values: object) -> pa.Table:
    """Return a row per number; its id is the number. `values` apply to every row."""
    chosen = list(numbers)
    vectors = np.random.default_rng(chosen).normal(size=(len(chosen), DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: list[dict[str, Any]] = [
        {
            "id": number.to_bytes(16, "big"),
            "kind": "event",
            "text": f"number {number}",
            "search_text": f"tester: number {number}",
            "words": f"tester number {number}",
            "vector": vector,
            "model": MODEL,
            "writer": writer,
            **values,
        }
        for number, vector in zip(chosen, vectors, strict=True)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def vector_table(
    storage: Storage, retry_s: float = 30.0, generation: int = 1, **options: Any
) -> VectorTable:
    """Open the table; creates it if it is absent."""
    table = VectorTable(storage, generation, DIMENSION, MODEL, retry_s, **options)
    table.open()
    return table


def stored(storage: Storage) -> list[tuple[int, int]]:
    """Return (number, writer) of every row, in order."""
    table = generations.open_table(generations.connect(storage), 1)
    assert table is not None
    found = table.search().select(["id", "writer"]).to_arrow()
    rows = zip(found["id"].to_pylist(), found["writer"].to_pylist(), strict=True)
    return sorted((int.from_bytes(key, "big"), writer) for key, writer in rows)


def search_texts(storage: Storage, words: str) -> list[str]:
    """Return the texts that contain the words, best match first."""
    table = generations.open_table(generations.connect(storage), 1)
    assert table is not None
    query: Any = table.search(words, query_type="fts", fts_columns="words")
    texts: list[str] = (
        query.select(["text", "_score"]).limit(10).to_arrow()["text"].to_pylist()
    )
    return texts
