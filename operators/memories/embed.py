"""Texts -> their vectors, each distinct text embedded once, however often it comes.

Shape: n texts in, n vectors float32 [dimension] out, or None for a text that the model
has no usable vector of; that text is counted by its reason and the others go on. A
batch that fails is halved down to such a text, so one call asks the model for a batch
of n texts at most 2n times.
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

# Also a bound for endpoints, which take no more inputs at a time.
BATCH_TEXTS_MAX = 512
# Allowed deviation of an embedder's vector from length 1; beyond it, a text is skipped.
EMBEDDER_NORM_TOLERANCE = 1e-3


class VectorCache(LRUCache[bytes, Vector]):
    """The vectors of the texts used last, by hash of model and text; of one thread.

    Attributes:
        evictions: how many were forgotten for newer ones.
    """

    evictions = 0

    @override
    def popitem(self) -> tuple[bytes, Vector]:
        self.evictions += 1
        return super().popitem()


@dataclass(frozen=True)
class Embedded:
    """What became of some texts, and the counts of the metrics."""

    vectors: list[Vector | None]
    skipped: dict[int, SkipReason]
    """By number of the text; so many count as skipped."""
    embedded: int
    hits: int
    evictions: int


def embed(
    texts: Sequence[str],
    embedder: Embedder,
    cache: VectorCache,
    batch_tokens: int,
) -> Embedded:
    """The vectors of texts, in their order.

    Args:
        texts: empty, equal and very long ones too.
        embedder: what makes vectors.
        cache: what it made before; filled.
        batch_tokens: of a batch at most, padding counted; one text may have more.

    Raises:
        EmbedderUnavailable: no text is to blame; nothing is skipped, try again later.
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
    made, evicted = 0, cache.evictions
    for batch in _batches(missing, embedder, batch_tokens):
        for key, result in _results(batch, missing, embedder):
            if isinstance(result, str):
                reasons[key] = result
                continue
            found[key] = result
            made += 1
            if cache.maxsize:
                cache[key] = result
    skipped = {row: reasons[key] for row, key in enumerate(keys) if key in reasons}
    hits = len(texts) - made - len(skipped)
    vectors = [found.get(key) for key in keys]
    return Embedded(vectors, skipped, made, hits, cache.evictions - evicted)


def _key(model_id: str, text: str) -> bytes:
    content = f"{model_id}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()


def _batches(
    texts: dict[bytes, str], embedder: Embedder, batch_tokens: int
) -> Iterable[list[bytes]]:
    """Texts of like length together, the longest first: little is padding."""
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
        if vectors.shape != (len(batch), embedder.dimension):
            msg = f"The model gave {vectors.shape}, not vectors of its length."
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
            # Perhaps the fault of its neighbours: alone it has another chance.
            yield from _results([key], texts, embedder)
        else:
            # A copy: a slice would keep the whole batch in memory.
            yield key, reason or vector.copy()


def _fault(vector: Vector) -> SkipReason | None:
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(norm):
        return "nan"
    return None if abs(norm - 1) <= EMBEDDER_NORM_TOLERANCE else "zero"
