"""The step that embeds texts; it waits while the embedder is unavailable."""

from collections import Counter
from collections.abc import Callable

import pyarrow as pa
import stamina

from operators.memories.attach_vectors import attach_vectors
from operators.memories.embed import VectorCache
from schemas.batches import Chunked, Progress, Vectored, by_partition
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
    """Return the embed step; it raises EmbedderUnavailable after `embedder_retry_s`.

    Args:
        settings: batch size and retry time.
        metrics: receives the counts.
        flow: the `flow` label of the counts.
        embedder: returns the embedder.
        cache: returns the calling worker's cache of vectors of earlier texts.
    """

    def embed_poll(chunked: Chunked) -> Vectored:
        # No later step can run without vectors. After the timeout the process ends, and
        # its supervisor starts the flow again.
        for attempt in stamina.retry_context(
            on=EmbedderUnavailable, attempts=None, timeout=settings.embedding.retry_s
        ):
            with attempt:
                vectored, counts = attach_vectors(
                    chunked, embedder(), cache(), settings.embedding.batch_tokens
                )
        for name, count in (
            ("semloop_embedded_texts_total", counts.embedded),
            ("semloop_embed_cache_hits_total", counts.hits),
            ("semloop_embed_cache_evictions_total", counts.evictions),
        ):
            metrics.add(name, count, flow=flow)
        report_backlog(metrics, flow, chunked.progress)
        return vectored

    return embed_poll


def report_backlog(
    metrics: Metrics, flow: str, progress: Progress, waiting: pa.Table | None = None
) -> None:
    """Set the number of events without vectors, by partition.

    Args:
        metrics: receives the numbers.
        flow: their label.
        progress: of the poll that is about to be embedded, or was.
        waiting: its events, before they are embedded.
    """
    backlog = Counter[int]()
    for partition, offset in progress.positions.items():
        end = progress.ends.get(partition, 0)
        backlog[partition.number] += max(0, end - 1 - offset)
    for partition, rows in () if waiting is None else by_partition(waiting):
        backlog[partition.number] += rows.num_rows
    for number, events in backlog.items():
        name = "semloop_embedding_backlog_events"
        metrics.set(name, events, flow=flow, partition=number)
