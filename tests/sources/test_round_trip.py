"""A conversation in any format comes back: texts, calls, failures, tokens, order."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.lines import Record
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from sources.transcripts.registry import BY_NAME
from tests.sources.trajectory_writers import WRITERS
from tests.sources.transcript_writers import START, Call, Turn
from tests.support.examples import examples

# A text that no reader can take for JSON, data, or the report of a failure.
words = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12
)
texts = words.map(lambda text: f"t {text} t")
tools = st.sampled_from(["find", "book", "run_query"])
arguments = st.dictionaries(
    texts, st.integers(-9, 9) | texts | st.none(), min_size=1, max_size=2
)
calls = st.builds(Call, tools, arguments, texts, st.booleans())
turns = st.builds(
    Turn,
    texts,
    st.lists(calls, max_size=2).map(tuple),
    texts,
    st.tuples(st.integers(50, 99), st.integers(50, 99)),
    st.integers(0, 50),
    st.integers(0, 50),
)


@st.composite
def talks(draw: Any) -> list[Turn]:
    """Draw a conversation in which no two messages have the same text."""
    found = draw(st.lists(turns, min_size=1, max_size=4))
    return [
        replace(t, asked=f"{n} asked {t.asked}", answer=f"{n} answered {t.answer}")
        for n, t in enumerate(found)
    ]


def events_of(path: Path, form: str) -> list[dict[str, Any]]:
    """Read a file, and check its ledger and ids."""
    ledger = Ledger()
    reading = Reading(str(path), form, Options(file_time=START), ledger)
    records = [record for record in reading.records() if isinstance(record, Record)]
    ledger.check()
    assert ledger.events == len(records)
    assert ledger.unreadable == 0
    assert len({record.idempotency_key for record in records}) == len(records)
    return [msgspec.json.decode(record.value) for record in records]


@pytest.mark.parametrize("name", WRITERS)
@examples(8)
@given(talk=talks())
def test_a_conversation_comes_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, talk: list[Turn]
) -> None:
    write, can = WRITERS[name]
    path = tmp_path_factory.mktemp("talk") / "talk.json"
    path.write_bytes(write(talk))
    events = events_of(path, "auto")
    assert events == events_of(path, name)
    messages = [e["payload"] for e in events if e["type"] == "message"]
    contents = [m["content"] for m in messages if m["content"]]
    assert contents == [text for t in talk for text in (t.asked, t.answer)]
    found = [e["payload"] for e in events if e["type"] == "tool_call"]
    made = [call for turn in talk for call in turn.calls]
    if name == "swe-agent":
        assert [c["arguments"] for c in found] == [{"command": c.tool} for c in made]
    else:
        assert [c["tool"] for c in found] == [c.tool for c in made]
        assert [c["arguments"] for c in found] == [c.arguments for c in made]
    assert [c["result"] for c in found] == [c.result for c in made]
    if can.failures:
        assert [c["status"] == "error" for c in found] == [c.failed for c in made]
    if can.tokens:
        answers = [m for m in messages if m["role"] == "assistant" and m["content"]]
        tokens = [(m.get("input_tokens"), m.get("output_tokens")) for m in answers]
        assert tokens == [turn.tokens for turn in talk]
        assert [m.get("cached_tokens") for m in answers] == [t.cached for t in talk]
        if can.reasoning:
            reasoned = [m.get("reasoning_tokens") for m in answers]
            assert reasoned == [turn.reasoning for turn in talk]
    if can.times:
        times = [msgspec.convert(e["timestamp"], type=type(START)) for e in events]
        assert times[0] == START
        assert all(earlier < later for earlier, later in pairwise(times))


def test_every_format_has_a_writer() -> None:
    # Spans of OTLP have tests of their own, and so have rows.
    assert {*WRITERS, "otlp", "rows", "csv", "yaml"} == set(BY_NAME)
