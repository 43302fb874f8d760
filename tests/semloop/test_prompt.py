"""Recalled memories in a prompt: quoted, with their origin, within a bound of tokens."""

from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop import as_prompt
from semloop.lake.prompt import BEGIN, END, HIDDEN
from semloop.lake.recall.hits import HITS
from semloop.lake.tokens import estimate_tokens, within_tokens

pytestmark = pytest.mark.unit

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def a_hit(text: str, **fields: Any) -> dict[str, Any]:
    own = {"text": text, "id": bytes(range(16)), "ts": NOON, "agent": "booker"}
    return own | {"session_id": "s-1"} | fields


def hits(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), HITS)


def test_a_memory_is_quoted_with_its_origin_and_the_texts_around_it() -> None:
    row = a_hit(
        "No.", context="user: May I?", after="Oh.", user_id="u-7", outcome="failure",
        reward=0.25,
    )  # fmt: skip
    assert as_prompt(hits(row)) == (
        f"{BEGIN}"
        '<memory id="000102030405060708090a0b0c0d0e0f" time="2026-01-02T12:00:00Z"'
        ' agent="booker" user="u-7" session="s-1" outcome="failure" reward="0.25">\n'
        "<before>user: May I?</before>\n<text>No.</text>\n<after>Oh.</after>\n"
        f"</memory>\n{END}"
    )


def test_what_is_unknown_is_left_out() -> None:
    shown = as_prompt(hits(a_hit("No.", session_id=None)))
    assert ' agent="booker">\n<text>No.</text>\n</memory>\n' in shown


def test_without_memories_the_prompt_is_empty() -> None:
    assert as_prompt(HITS.empty_table()) == ""


MARKERS = [
    "</text>", "</memory>", "</recalled_memories>", '"><memory id="1">', "<!--", "]]>",
    "<![CDATA[", "&lt;", "&#60;/text&#62;", "\uff1c/text\uff1e", "\r\n", "\x1b[31m",
    "\u202e", "\U000e0041", "<?xml?>", "\n", END, BEGIN,
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(MARKERS), st.text(max_size=5))).map("".join)


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
def test_no_text_can_end_its_quotation(
    text: str, context: str, after: str, agent: str, session: str
) -> None:
    fields = {"context": context, "after": after, "agent": agent, "session_id": session}
    rows = [a_hit(f"x{text}", **fields), a_hit("the next")]
    shown = as_prompt(hits(*rows), max_tokens=1_000_000)
    root = ElementTree.fromstring(shown)
    assert (root.tag, [child.tag for child in root]) == (
        "recalled_memories", ["memory", "memory"]
    )  # fmt: skip
    names = ("id", "time", "agent", "session")
    assert all(set(memory.attrib) <= set(names) for memory in root)
    read = [{part.tag: part.text for part in memory} for memory in root]
    quoted = {"before": context, "text": f"x{text}", "after": after}
    expected = {name: shown_as(value) for name, value in quoted.items() if value}
    assert {name: value or "" for name, value in read[0].items()} == expected
    assert read[1] == {"text": "the next"}
    # The angle brackets are those of the elements, also for a reader without a parser.
    elements = sum(1 for _ in root.iter())
    for bracket in "<>":
        assert shown.count(bracket) == 2 * elements
    assert not HIDDEN.search(shown)
    assert "\uff1c" not in shown


def shown_as(text: str) -> str:
    """Return what a reader of the XML gets for a text."""
    lines = "\n".join(text.splitlines())
    return HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", lines)


@given(st.lists(TEXTS, max_size=5), st.integers(0, 1_000))
def test_a_prompt_has_at_most_the_given_tokens_and_the_best_memories(
    texts: list[str], max_tokens: int
) -> None:
    rows = [a_hit(text or "x", after="y" * 90) for text in texts]
    shown, whole = (as_prompt(hits(*rows), n) for n in (max_tokens, 1_000_000))
    assert estimate_tokens(shown) <= max_tokens
    some, every = quoted_in(shown), quoted_in(whole)
    assert (some, len(every)) == (every[: len(some)], len(texts))


def quoted_in(prompt: str) -> list[str | None]:
    root = ElementTree.fromstring(prompt or "<nothing/>")
    return [text.text for text in root.iter("text")]


def test_the_last_memory_loses_the_texts_around_it_if_only_that_fits() -> None:
    rows = hits(a_hit("first", after="a" * 300), a_hit("second"))
    # The tokens of each part are rounded up.
    whole = estimate_tokens(as_prompt(rows)) + 3
    assert as_prompt(rows, whole).count("<memory ") == 2
    first = as_prompt(rows, whole - 100)
    assert "<text>first</text>\n</memory>" in first
    assert "second" not in first
    assert as_prompt(rows, 100) == ""


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("漢字", 2), ("\ud800", 1)],
)
def test_a_token_is_three_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize(
    ("tokens", "count"), [(None, 3), (11, 3), (10, 2), (8, 2), (7, 1), (1, 0)]
)
def test_hits_are_dropped_from_the_first_that_exceeds_the_tokens(
    tokens: int | None, count: int
) -> None:
    rows = [
        a_hit("abcdef", context="abc", after=None),  # 3 tokens
        a_hit("abcdef", context="abc", after="abcdef"),  # 5 tokens
        a_hit("abcdefg"),  # 3 tokens
    ]
    assert within_tokens(hits(*rows), tokens).num_rows == count
