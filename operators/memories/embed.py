"""Embeds texts; each distinct text is embedded once.

Input: n texts. Output: n vectors, float32 [dimension], or None for a text for which the
model returns no usable vector; that text is counted by reason, and the others are not
affected. A failed batch is halved down to such a text, so that a batch of n texts
causes at most 2n calls of the model.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from typing_extensions import override

from semloop.embedders.contract import Embedder
from semloop.errors import SkipReason, UnusableAnswer

Vector = NDArray[np.float32]

# Endpoints also limit the number of inputs per request.
BATCH_TEXTS_MAX = 512
# Allowed difference from the norm 1 that vectors must have.
EMBEDDER_NORM_TOLERANCE = 1e-3


class VectorCache(LRUCache[bytes, Vector]):
    """Least recently used cache of vectors, by hash of model and text; not thread-safe.

    Attributes:
        evictions: number of vectors evicted by newer ones.
    """

    evictions = 0

    @override
    def popitem(self) -> tuple[bytes, Vector]:
        self.evictions += 1
        return super().popitem()


@dataclass(frozen=True)
class Embedded:
    """Vectors of texts, and the counts for the metrics."""

    vectors: list[Vector | None]
    skipped: dict[int, SkipReason]
    """Reason by index of the text."""
    embedded: int
    hits: int
    evictions: int


def embed(
    texts: Sequence[str],
    embedder: Embedder,
    cache: VectorCache,
    batch_tokens: int,
) -> Embedded:
    """Return the vectors of texts, in the same order.

    Args:
        texts: may be empty, equal or very long.
        embedder: computes the vectors.
        cache: vectors computed before; new ones are added.
        batch_tokens: maximum tokens per batch, including padding; a single text may
            exceed it.

    Raises:
        EmbedderUnavailable: the texts are not the cause; no text is skipped, and the
            caller should retry later.
    """
    keys = [_key(embedder.model_id, text) for text in texts]
    found: dict[bytes, Vector] = {}
    missing: dict[bytes, str] = {}
    for key, text in zip(keys, texts, strict=True):
        if key in found or key in missing:
            continue
        if (vector := cache.get(key)) is not None:
            found[key] = vector
        else:
            missing[key] = text
    reasons: dict[bytes, SkipReason] = {}
    computed, evicted = 0, cache.evictions
    for batch in _batches(missing, embedder, batch_tokens):
        for key, result in _results(batch, missing, embedder):
            if isinstance(result, str):
                reasons[key] = result
                continue
            found[key] = result
            computed += 1
            if cache.maxsize:
                cache[key] = result
    skipped = {row: reasons[key] for row, key in enumerate(keys) if key in reasons}
    hits = len(texts) - computed - len(skipped)
    vectors = [found.get(key) for key in keys]
    return Embedded(vectors, skipped, computed, hits, cache.evictions - evicted)


def _key(model_id: str, text: str) -> bytes:
    content = f"{model_id}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()


def _batches(
    texts: dict[bytes, str], embedder: Embedder, batch_tokens: int
) -> Iterable[list[bytes]]:
    """Batch texts of similar length, the longest first, to minimize padding."""
    if not texts:
        return
    counts = dict(zip(texts, embedder.token_counts(list(texts.values())), strict=True))
    batch: list[bytes] = []
    for key in sorted(texts, key=lambda key: -counts[key]):
        longest = counts[batch[0]] if batch else 0
        full = (len(batch) + 1) * longest > batch_tokens
        if batch and (full or len(batch) == BATCH_TEXTS_MAX):
            yield batch
            batch = []
        batch.append(key)
    yield batch


def _results(
    batch: list[bytes], texts: dict[bytes, str], embedder: Embedder
) -> Iterable[tuple[bytes, Vector | SkipReason]]:
    try:
        vectors = embedder.embed([texts[key] for key in batch])
        expected = (len(batch), embedder.dimension)
        if vectors.shape != expected:
            msg = f"Expected vectors of shape {expected}, not {vectors.shape}."
            raise UnusableAnswer(msg, reason="dimension")
    except UnusableAnswer as error:
        if len(batch) == 1:
            yield batch[0], error.reason
            return
        middle = len(batch) // 2
        yield from _results(batch[:middle], texts, embedder)
        yield from _results(batch[middle:], texts, embedder)
        return
    for key, vector in zip(batch, vectors, strict=True):
        reason = _fault(vector)
        if reason and len(batch) > 1:
            # Other texts of the batch may be the cause: retry the text alone.
            yield from _results([key], texts, embedder)
        else:
            # A copy: a slice would keep the whole batch in memory.
            yield key, reason or vector.copy()


def _fault(vector: Vector) -> SkipReason | None:
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(norm):
        return "nan"
    return None if abs(norm - 1) <= EMBEDDER_NORM_TOLERANCE else "zero"
