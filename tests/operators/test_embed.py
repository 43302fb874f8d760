"""Embedding of texts: caching, batching, and failures of the model."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from operators.memories.embed import BATCH_TEXTS_MAX, Embedded, VectorCache, embed
from semloop.embedders.endpoint import Endpoint
from semloop.embedders.hashing import Hashing
from semloop.errors import EmbedderUnavailable, SkipReason, UnusableAnswer
from tests.semloop.an_endpoint import an_endpoint, body_of, good, vectors_of

Vectors = NDArray[np.float32]
TOKENS = 100


class Recording(Hashing):
    """The hashing embedder; records its batches and may spoil their vectors."""

    def __init__(
        self, spoil: Callable[[list[str], Vectors], Vectors] | None = None
    ) -> None:
        self.batches: list[list[str]] = []
        self.spoil = spoil

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        vectors = super().embed(texts)
        return self.spoil(list(texts), vectors) if self.spoil else vectors


def embedded(
    texts: Sequence[str], embedder: Hashing | Endpoint, texts_max: int = 1_000
) -> Embedded:
    return embed(texts, embedder, VectorCache(texts_max), TOKENS)


def same(found: Embedded, texts: Sequence[str]) -> None:
    for vector, expected in zip(found.vectors, Hashing().embed(texts), strict=True):
        assert vector is not None
        np.testing.assert_array_equal(vector, expected)


@given(
    texts=st.lists(st.text(st.characters(), max_size=40) | st.sampled_from("abc")),
    again=st.lists(st.sampled_from("abcd")),
    texts_max=st.integers(0, 4),
    batch_tokens=st.integers(1, 30),
)
def test_caching_batching_and_repetition_do_not_change_vectors(
    texts: list[str], again: list[str], texts_max: int, batch_tokens: int
) -> None:
    cache, embedder = VectorCache(texts_max), Recording()
    for some in (texts, again, texts):
        embedder.batches.clear()
        found = embed(some, embedder, cache, batch_tokens)
        same(found, some)
        assert found.skipped == {}
        embedded_texts = [text for batch in embedder.batches for text in batch]
        assert len(embedded_texts) == len(set(embedded_texts)) == found.embedded
        assert found.hits == len(some) - len(embedded_texts)
        assert len(cache) <= texts_max


def test_no_texts_cause_no_call_of_the_model() -> None:
    embedder = Recording()
    assert embedded([], embedder) == Embedded([], {}, 0, 0, 0)
    assert embedder.batches == []


def test_batches_contain_texts_of_similar_length_up_to_the_budget() -> None:
    embedder = Recording()
    texts = [f"{n} " * n for n in (1, 40, 2, 60, 3, 39, 150)]
    same(embedded(texts, embedder), texts)
    sizes = [[len(text.split()) for text in batch] for batch in embedder.batches]
    assert sizes == [[150], [60], [40, 39], [3, 2, 1]]


def test_the_number_of_texts_in_a_batch_is_bounded() -> None:
    embedder = Recording()
    texts = [str(n) for n in range(BATCH_TEXTS_MAX + 1)]
    embed(texts, embedder, VectorCache(10), 10**6)
    assert [len(batch) for batch in embedder.batches] == [BATCH_TEXTS_MAX, 1]


def test_the_cache_evicts_the_least_recently_used_text_and_counts_it() -> None:
    cache, embedder = VectorCache(2), Recording()
    assert embed(["a", "b"], embedder, cache, TOKENS).evictions == 0
    assert embed(["a"], embedder, cache, TOKENS).hits == 1
    assert embed(["c"], embedder, cache, TOKENS).evictions == 1  # b
    assert embed(["a", "c"], embedder, cache, TOKENS).embedded == 0
    assert embed(["b"], embedder, cache, TOKENS).embedded == 1


def test_cached_vectors_of_another_model_are_not_used() -> None:
    cache, other = VectorCache(10), Recording()
    embed(["a"], Hashing(), cache, TOKENS)
    other.model_id = "other"
    assert embed(["a"], other, cache, TOKENS).embedded == 1


def test_a_cached_vector_does_not_reference_its_batch() -> None:
    cache = VectorCache(10)
    embed(["a", "b", "c"], Hashing(), cache, TOKENS)
    assert all(vector.base is None for vector in cache.values())


def spoiled(value: float) -> Callable[[list[str], Vectors], Vectors]:
    def spoil(texts: list[str], vectors: Vectors) -> Vectors:
        for row, text in enumerate(texts):
            if text == "bad":
                vectors[row] = value
        return vectors

    return spoil


@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "nan"), (np.inf, "nan"), (0.0, "zero"), (0.5, "zero"), (3e38, "zero")],
)
def test_a_text_without_a_usable_vector_is_skipped_with_its_reason(
    value: float, reason: SkipReason
) -> None:
    embedder = Recording(spoiled(value))
    texts = ["a", "bad", "b", "bad", "c"]
    cache = VectorCache(10)
    found = embed(texts, embedder, cache, TOKENS)
    assert found.skipped == {1: reason, 3: reason}
    assert [vector is None for vector in found.vectors] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert (found.embedded, found.hits, len(cache)) == (3, 0, 3)
    assert ["bad"] in embedder.batches  # it was retried alone


def test_a_text_that_fails_only_in_a_batch_is_embedded_alone() -> None:
    def crowded(texts: list[str], vectors: Vectors) -> Vectors:
        return vectors * np.float32(np.nan) if len(texts) > 1 else vectors

    found = embedded(["a", "b", "c"], Recording(crowded))
    same(found, ["a", "b", "c"])
    assert found.skipped == {}


def test_vectors_of_wrong_length_or_number_are_skipped() -> None:
    found = embedded(["a", "b"], Recording(lambda _t, vectors: vectors[:, :-1]))
    assert found.skipped == {0: "dimension", 1: "dimension"}
    short = Recording(lambda texts, vectors: vectors[: 1 if "bad" in texts else None])
    found = embedded(["a", "bad", "b", "c"], short)
    same(found, ["a", "bad", "b", "c"])


@pytest.mark.parametrize("reason", ["timeout", "refused", "dimension"])
@pytest.mark.parametrize("place", [0, 7, 63])
def test_one_bad_text_costs_few_calls_and_skips_no_other_text(
    reason: SkipReason, place: int
) -> None:
    def refuse(texts: list[str], vectors: Vectors) -> Vectors:
        if "bad" in texts:
            message = "no"
            raise UnusableAnswer(message, reason=reason)
        return vectors

    texts = [str(n) for n in range(64)]
    texts[place] = "bad"
    embedder = Recording(refuse)
    found = embedded(texts, embedder)
    assert found.skipped == {place: reason}
    assert found.embedded == 63
    assert len(embedder.batches) <= 13


def test_a_model_that_fails_for_every_text_is_called_at_most_2n_times() -> None:
    embedder = Recording(spoiled(np.nan))
    embedder.spoil = lambda _texts, vectors: vectors[:0]
    texts = [str(n) for n in range(64)]
    assert len(embedded(texts, embedder).skipped) == 64
    assert len(embedder.batches) < 2 * 64


def test_an_unavailable_model_raises_and_skips_no_text() -> None:
    def unavailable(_texts: list[str], _vectors: Vectors) -> Vectors:
        message = "unavailable"
        raise EmbedderUnavailable(message)

    with pytest.raises(EmbedderUnavailable):
        embedded(["a", "b"], Recording(unavailable))


def test_only_the_text_that_times_out_at_an_endpoint_is_skipped() -> None:
    released = threading.Event()

    def stuck(texts: list[str], number: int) -> tuple[int, dict[str, str], bytes]:
        if "bad" in texts:
            released.wait(60)
        return good(texts, number)

    with an_endpoint(stuck) as server:
        endpoint = Endpoint(server.url, "m", None, 0.25, lambda _s: None)
        try:
            found = embedded(["a", "bad", "b", "cc"], endpoint)
        finally:
            released.set()
    assert found.skipped == {1: "timeout"}
    assert found.embedded == 3


def test_texts_with_nan_or_a_wrong_length_from_an_endpoint_are_skipped() -> None:
    def invalid(texts: list[str], _number: int) -> tuple[int, dict[str, str], bytes]:
        vectors = vectors_of(texts)
        for row, text in enumerate(texts):
            if text == "not finite":
                vectors[row] = [float("nan")] * 5
            if text == "short":
                vectors[row] = [1.0]
        return 200, {}, body_of(vectors)

    with an_endpoint(invalid) as server:
        endpoint = Endpoint(server.url, "m")
        found = embedded(["a", "not finite", "b", "short"], endpoint)
    assert found.skipped == {1: "nan", 3: "dimension"}
    assert found.embedded == 2
