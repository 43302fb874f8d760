"""Which line of a text is embedded, and what becomes of texts without a vector."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from operators.episodes.assign import window
from operators.episodes.sessions import Sessions
from operators.memories.attach_vectors import with_vectors
from operators.memories.chunk import chunk
from operators.memories.embed import VectorCache
from schemas.batches import Chunked, PolledEvents
from semloop.delta.streams import Partition
from semloop.embedders.hashing import Hashing
from semloop.settings.memory_sections import EpisodeSettings, MemorySettings
from tests.operators.a_stream import Row, a_stream, said

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

ORIGIN: Partition = Partition("topic-1", 0)
CALL = said("tool_call", text="a call")


class Listening(Hashing):
    """Remembers what it was asked, and has no vector of a text with `bad` in it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> "Vectors":
        self.asked += texts
        vectors = super().embed(texts)
        vectors[["bad" in text for text in texts]] = np.nan
        return vectors


def chunked(*events: Row, settings: MemorySettings | None = None) -> Chunked:
    polled = PolledEvents(a_stream(*events))
    windowed = window(polled, {ORIGIN: Sessions(EpisodeSettings())}, frozenset())
    return chunk(windowed, settings or MemorySettings())


def test_what_came_before_is_searched_but_not_embedded() -> None:
    embedder = Listening()
    texts = chunked(said(text="one"), said(text="two"), said(text="three"))
    made, counts = with_vectors(texts, embedder, VectorCache(9), 8_192)
    lines = ["booker: one", "booker: two", "booker: three"]
    assert sorted(embedder.asked) == sorted(lines)
    assert made.memories["search_text"].to_pylist() == [
        "booker: one", "one\nbooker: two", "two\nbooker: three",
    ]  # fmt: skip
    assert np.array_equal(made.memories["vector"].to_pylist(), Hashing().embed(lines))
    assert set(made.memories["model"].to_pylist()) == {embedder.model_id}
    assert counts.embedded == 3


def test_the_others_keep_their_own_vectors() -> None:
    settings = MemorySettings(kinds=("message",))
    events = (said(text="bad"), said(text="one"), CALL, said(text="bad 2"), said())
    texts = chunked(*events, settings=settings)
    made, _ = with_vectors(texts, Listening(), VectorCache(9), 8_192)
    assert made.memories["text"].to_pylist() == ["one", "hello"]
    wanted = Hashing().embed(["booker: one", "booker: hello"])
    assert np.array_equal(made.memories["vector"].to_pylist(), wanted)
    assert made.skipped == {"kind": 1, "nan": 2}
    assert made.episodes is texts.episodes
    assert made.progress is texts.progress


def test_of_nothing_come_no_memories() -> None:
    embedder = Listening()
    made, counts = with_vectors(chunked(), embedder, VectorCache(9), 8_192)
    assert (made.memories.num_rows, embedder.asked) == (0, [])
    assert (counts.embedded, dict(made.skipped)) == (0, {})
