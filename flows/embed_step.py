"""The step that gives texts their vectors, which waits for a model that is away."""

from collections.abc import Callable

import stamina

from operators.memories.attach_vectors import attach_vectors
from operators.memories.embed import VectorCache
from schemas.batches import Chunked, Vectored
from schemas.metrics import Metrics
from semloop.embedders.contract import Embedder
from semloop.errors import EmbedderUnavailable
from semloop.settings import Settings


def embed_step(
    settings: Settings,
    metrics: Metrics,
    flow: str,
    embedder: Callable[[], Embedder],
    cache: Callable[[], VectorCache],
) -> Callable[[Chunked], Vectored]:
    """The step of a flow; it raises EmbedderUnavailable after `embedder_retry_s`.

    Args:
        settings: sizes of batches, how long to try again.
        metrics: where counts go.
        flow: whose counts they are.
        embedder: gives what makes the vectors.
        cache: gives the vectors of texts seen before, of the calling worker.
    """

    def embed_poll(chunked: Chunked) -> Vectored:
        # Nothing else can be done meanwhile: whoever restarts this flow tries on.
        for attempt in stamina.retry_context(
            on=EmbedderUnavailable, attempts=None, timeout=settings.embedding.retry_s
        ):
            with attempt:
                vectored, embedded = attach_vectors(
                    chunked, embedder(), cache(), settings.embedding.batch_tokens
                )
        for name, count in (
            ("semloop_embedded_texts_total", embedded.embedded),
            ("semloop_embed_cache_hits_total", embedded.hits),
            ("semloop_embed_cache_evictions_total", embedded.evictions),
        ):
            metrics.add(name, count, flow=flow)
        return vectored

    return embed_poll
