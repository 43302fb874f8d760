"""The embedded line of a text, and texts without a vector."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from operators.episodes.assign import assign_episodes
from operators.episodes.sessions import Sessions
from operators.memories.attach_vectors import attach_vectors
from operators.memories.chunk import chunk
from operators.memories.embed import VectorCache
from schemas.batches import Chunked, PolledEvents
from semloop.delta.streams import Partition
from semloop.embedders.hashing import Hashing
from semloop.settings.memory_sections import EpisodeSettings, MemorySettings
from tests.operators.event_rows import Row, event_row, events_table

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

PARTITION: Partition = Partition("topic-1", 0)
CALL = event_row("tool_call", text="a call")


class RecordingEmbedder(Hashing):
    """Records its texts, and returns NaN for a text that contains `bad`."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> "Vectors":
        self.texts += texts
        vectors = super().embed(texts)
        vectors[["bad" in text for text in texts]] = np.nan
        return vectors


def chunked(*events: Row, settings: MemorySettings | None = None) -> Chunked:
    polled = PolledEvents(events_table(*events))
    assigned = assign_episodes(
        polled, {PARTITION: Sessions(EpisodeSettings())}, frozenset()
    )
    return chunk(assigned, settings or MemorySettings())


def test_context_is_searched_but_not_embedded() -> None:
    embedder = RecordingEmbedder()
    texts = chunked(
        event_row(text="one"), event_row(text="two"), event_row(text="three")
    )
    vectored, counts = attach_vectors(texts, embedder, VectorCache(9), 8_192)
    lines = ["booker: one", "booker: two", "booker: three"]
    assert sorted(embedder.texts) == sorted(lines)
    assert vectored.memories["search_text"].to_pylist() == [
        "booker: one", "one\nbooker: two", "two\nbooker: three",
    ]  # fmt: skip
    assert np.array_equal(
        vectored.memories["vector"].to_pylist(), Hashing().embed(lines)
    )
    assert set(vectored.memories["model"].to_pylist()) == {embedder.model_id}
    assert counts.embedded == 3


def test_texts_after_a_skipped_one_keep_their_vectors() -> None:
    settings = MemorySettings(kinds=("message",))
    events = (
        event_row(text="bad"),
        event_row(text="one"),
        CALL,
        event_row(text="bad 2"),
        event_row(),
    )
    texts = chunked(*events, settings=settings)
    vectored, _ = attach_vectors(texts, RecordingEmbedder(), VectorCache(9), 8_192)
    assert vectored.memories["text"].to_pylist() == ["one", "hello"]
    expected = Hashing().embed(["booker: one", "booker: hello"])
    assert np.array_equal(vectored.memories["vector"].to_pylist(), expected)
    assert vectored.skipped == {"kind": 1, "nan": 2}
    assert vectored.episodes is texts.episodes
    assert vectored.progress is texts.progress


def test_no_texts_produce_no_memories() -> None:
    embedder = RecordingEmbedder()
    vectored, counts = attach_vectors(chunked(), embedder, VectorCache(9), 8_192)
    assert (vectored.memories.num_rows, embedder.texts) == (0, [])
    assert (counts.embedded, dict(vectored.skipped)) == (0, {})
