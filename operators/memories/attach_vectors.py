"""Texts of a poll -> the same with their vectors; those without one are left out.

Shape: `Chunked` in, `Vectored` out, rows in their order. What is embedded is the last
line of `search_text`: who said it and what. What came before is searched by words
alone, since it moves a vector away from what was said.
"""

from collections import Counter

import numpy as np
import pyarrow as pa

from operators.memories.embed import Embedded, VectorCache, embed
from schemas.arrow import memories
from schemas.batches import Chunked, Vectored
from semloop.embedders.contract import Embedder


def with_vectors(
    chunked: Chunked, embedder: Embedder, cache: VectorCache, batch_tokens: int
) -> tuple[Vectored, Embedded]:
    """Embed what is to be remembered.

    Args:
        chunked: texts; none are fine.
        embedder: what makes the vectors.
        cache: what it made before; filled.
        batch_tokens: of a batch at most.

    Returns:
        the memories but for their `writer`, with the reasons of those left out added to
        `skipped`; and the counts of embedding.

    Raises:
        EmbedderUnavailable: no text is to blame; nothing is skipped, try again later.
    """
    rows = chunked.memories
    texts = [
        searched.rpartition("\n")[2] for searched in rows["search_text"].to_pylist()
    ]
    embedded = embed(texts, embedder, cache, batch_tokens)
    kept = [place for place, made in enumerate(embedded.vectors) if made is not None]
    skipped = Counter(chunked.skipped) + Counter(embedded.skipped.values())
    if len(kept) < rows.num_rows:
        rows = rows.take(pa.array(kept, pa.int64()))
    vectors = [vector for vector in embedded.vectors if vector is not None]
    flat = np.concatenate(vectors) if vectors else np.empty(0, np.float32)
    schema = memories(embedder.dimension, embedder.model_id)
    columns = {name: rows[name] for name in rows.column_names}
    columns["vector"] = pa.FixedSizeListArray.from_arrays(
        pa.array(flat, pa.float32()), embedder.dimension
    )
    model = pa.scalar(embedder.model_id, pa.string())
    columns["model"] = pa.repeat(model, rows.num_rows)
    schema = schema.remove(schema.get_field_index("writer"))
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    vectored = Vectored(table, chunked.episodes, chunked.progress, skipped)
    return vectored, embedded
