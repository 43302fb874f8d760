"""The column `text` of decoded events."""

import json

import pyarrow as pa

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


def test_a_long_text_keeps_both_ends() -> None:
    content = f"first {'word ' * 9_000}last"
    events = decoded(an_event(payload={"role": "user", "content": content}))
    [text] = events["text"].to_pylist()
    assert len(text) <= 4_000
    assert text.startswith("first word")
    assert text.endswith("word last")
