"""Features of memories: packing, counting of stems, and BM25 over them."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.arrow import MEMORY_TEXTS
from semloop.lake.recall.features import (
    Features,
    concatenated,
    hash_of,
    key_of,
    log_of,
    pack,
)
from semloop.lake.recall.keywords import Statistics, bm25
from semloop.lake.recall.stems import hashes
from semloop.lake.recall.words import query_terms, text_terms
from tests.semloop.recall.a_memory_lake import NOON

WORDS = ("refund", "refunds", "the", "fare", "näive", "会議", "42", "a_b")
LINES = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
NAMES = st.one_of(st.none(), st.text(max_size=3))


@st.composite
def a_memory(draw: st.DrawFn) -> dict[str, Any]:
    line, context = draw(LINES), draw(st.one_of(st.none(), LINES))
    return {
        "id": draw(st.binary(min_size=16, max_size=16)), "text": line,
        "kind": "event", "search_text": line if context is None else f"{context}\n{line}",
        "episode_id": draw(st.binary(min_size=16, max_size=16)).hex(),
        "topic_id": "t", "namespace": draw(NAMES), "session_id": draw(st.text(max_size=3)),
        "user_id": draw(NAMES), "context_user": draw(NAMES), "ts": NOON,
        "kafka_offset": draw(st.integers(0, 2**63 - 1)), "kafka_partition": 3,
        "seq": draw(st.one_of(st.none(), st.integers(0, 2**31 - 1))), "part": 0,
        "importance": draw(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 1.0]))),
    }  # fmt: skip


MEMORIES = st.lists(a_memory(), max_size=6)


def read(memories: list[dict[str, Any]]) -> Features:
    table = pa.Table.from_pylist(memories, MEMORY_TEXTS)
    packed = pa.chunked_array([pack(table)])
    return Features.of(packed, pa.chunked_array([range(len(memories))], pa.uint64()))


def keys(found: Features) -> list[int]:
    ids: list[int] = found.header["id"].tolist()
    return ids


@given(memories=MEMORIES)
def test_features_have_the_values_of_their_memories(
    memories: list[dict[str, Any]],
) -> None:
    found = read(memories)
    assert keys(found) == [key_of(row["id"]) for row in memories]
    for n, row in enumerate(memories):
        header = found.header[n]
        assert header["offset"] == row["kafka_offset"]
        assert header["seq"] == (-1 if row["seq"] is None else row["seq"])
        assert header["session"] == hash_of(row["namespace"], row["session_id"])
        assert header["has_user"] == (row["user_id"] is not None)
        assert header["log"] == log_of("t", 3)
        assert header["episode"] == key_of(bytes.fromhex(row["episode_id"]))
        assert header["context_user"] == hash_of(row["context_user"])
        context, _, line = row["search_text"].rpartition("\n")
        assert found.line_lengths[n] == len(text_terms(line))
        assert found.context_lengths[n] == len(text_terms(context))
        known = not math.isnan(header["importance"])
        assert (header["importance"] if known else None) == row["importance"]


@given(memories=MEMORIES, query=LINES, data=st.data())
def test_stems_are_counted_in_any_selection_of_the_memories(
    memories: list[dict[str, Any]], query: str, data: st.DataObject
) -> None:
    found = read(memories)
    rows = data.draw(
        st.lists(st.sampled_from(range(len(memories)))) if memories else st.just([])
    )
    order = list(dict.fromkeys(rows))
    taken = found.take(np.array(order, np.int64))
    terms = query_terms(query)
    wanted = hashes(terms)
    line, context = taken.counts(wanted)
    for at, n in enumerate(order):
        before, _, text = memories[n]["search_text"].rpartition("\n")
        assert line[at].tolist() == [text_terms(text).count(t) for t in terms]
        assert context[at].tolist() == [text_terms(before).count(t) for t in terms]


@given(first=MEMORIES, second=MEMORIES)
def test_concatenated_features_keep_each_id_once_in_order(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    found = concatenated([read(first), read(second)])
    rows = {key_of(row["id"]): row for row in reversed(first + second)}
    order = list(dict.fromkeys(key_of(row["id"]) for row in first + second))
    assert keys(found) == order
    wanted = hashes(query_terms("refund fare 42"))
    line, _ = found.counts(wanted)
    assert (
        line.tolist() == read([rows[key] for key in order]).counts(wanted)[0].tolist()
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a", "bc"), ("ab", "c")),
        (("a", None), ("a", "")),
        ((None, "a"), ("", "a")),
    ],
)
def test_different_values_have_different_hashes(
    first: tuple[str | None, ...], second: tuple[str | None, ...]
) -> None:
    assert hash_of(*first) != hash_of(*second)


def test_bm25_equals_the_formula_computed_by_hand() -> None:
    counts = np.array([[1, 0], [2, 1], [0, 0]])
    lengths = np.array([4, 8, 3])
    statistics = Statistics.of(counts, lengths, 10)
    assert (statistics.memories, statistics.length) == (10, 5.0)
    assert statistics.frequencies.tolist() == [2, 1]

    def term(count: int, length: int, frequency: int) -> float:
        rare = math.log(1 + (10 - frequency + 0.5) / (frequency + 0.5))
        return rare * 2.2 * count / (count + 1.2 * (0.25 + 0.75 * length / 5))

    expected = [term(1, 4, 2), term(2, 8, 2) + term(1, 8, 1), 0.0]
    assert bm25(counts, lengths, statistics).tolist() == pytest.approx(expected)
    none = Statistics.of(counts[:0], lengths[:0])
    assert bm25(counts[:0], lengths[:0], none).tolist() == []
