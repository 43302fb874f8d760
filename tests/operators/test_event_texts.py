"""The column `text` of decoded events."""

import json
from typing import Any

import pyarrow as pa
import pytest

from operators.decoding.decode import decode
from tests.support.builders import NOW, a_poll, an_event


def decoded(*events: object) -> pa.RecordBatch:
    return decode(a_poll(*events), NOW, 2**20).events


def test_the_text_has_placeholders_for_data_and_shows_what_json_escapes() -> None:
    image = "iVBORw0KGgoAAAANSUhEUg" * 40
    call = {"tool": "shot", "status": "success", "result": {"a": "x\ny 退", "b": image}}
    events = decoded(
        an_event("tool_call", payload=call),
        an_event(payload={"role": "user", "content": f"see {image}"}),
        an_event(payload={"role": "user", "content": image[:150]}),
    )
    assert events["text"].to_pylist() == [
        'shot success -> {"a": "x y 退", "b": "[image/png, 660 bytes]"}',
        "see [image/png, 660 bytes]",
        image[:150],
    ]
    assert json.loads(events["payload"][0].as_py()) == call


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        ("message", {"role": "user"}, "content"),
        ("completion", {"outcome": "success"}, "summary"),
        ("feedback", {"name": "n", "source": "human"}, "comment"),
        ("state_change", {"to_state": "s"}, "reason"),
        ("error", {"error_type": "e"}, "message"),
    ],
)
def test_a_long_text_keeps_both_ends(
    kind: str, payload: dict[str, Any], field: str
) -> None:
    content = f"first {'word ' * 9_000}last"
    events = decoded(an_event(kind, payload=payload | {field: content}))
    [text] = events["text"].to_pylist()
    assert 3_900 < len(text) <= 4_000
    assert "first word" in text
    assert text.endswith("word last")
