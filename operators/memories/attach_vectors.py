"""Attaches vectors to the texts of a poll; texts without a vector are skipped.

Input: `Chunked`. Output: `Vectored`, in the same order. Only the last line of
`search_text`, the speaker and the text, is embedded. The context before it is searched
by keywords only, since it would move the vector away from the text's own meaning.
"""

from collections import Counter

import numpy as np
import pyarrow as pa

from operators.memories.embed import Embedded, VectorCache, embed
from schemas.arrow import memories
from schemas.batches import Chunked, Vectored
from semloop.embedders.contract import Embedder


def attach_vectors(
    chunked: Chunked, embedder: Embedder, cache: VectorCache, batch_tokens: int
) -> tuple[Vectored, Embedded]:
    """Embed the texts and return them as memories.

    Args:
        chunked: the texts; may be empty.
        embedder: computes the vectors.
        cache: vectors computed before; new ones are added.
        batch_tokens: maximum tokens per batch.

    Returns:
        the memories without `writer`, with the reasons of skipped texts added to
        `skipped`; and the counts of embedding.

    Raises:
        EmbedderUnavailable: the texts are not the cause; no text is skipped, and the
            caller should retry later.
    """
    rows = chunked.memories
    texts = [
        searched.rpartition("\n")[2] for searched in rows["search_text"].to_pylist()
    ]
    embedded = embed(texts, embedder, cache, batch_tokens)
    kept = [row for row, vector in enumerate(embedded.vectors) if vector is not None]
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
