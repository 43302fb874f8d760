"""Spans of OpenTelemetry become messages and calls, each once."""

from typing import Any

import msgspec

from schemas.lines import Record
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from tests.sources.line_files import a_file


def attributes(**given: Any) -> list[dict[str, Any]]:
    """Encode attributes with the types of OTLP."""
    kinds = {str: "stringValue", int: "intValue"}
    return [
        {
            "key": name.replace("__", "."),
            "value": {kinds[type(v)]: str(v) if type(v) is int else v},
        }
        for name, v in given.items()
    ]


def a_span(number: int, seconds: int, **given: Any) -> dict[str, Any]:
    """Build a span that takes a second."""
    start = (1_767_322_800 + seconds) * 10**9
    return {
        "traceId": "t", "spanId": f"s{number}", "parentSpanId": "s0",
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 10**9),
        "name": "span", "attributes": attributes(**given), "status": {},
    }  # fmt: skip


def test_a_trace_of_a_model_and_a_tool(tmp_path: Any) -> None:
    asked = [{"role": "user", "parts": [{"type": "text", "content": "where?"}]}]
    call = {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}
    answer = [{"role": "assistant", "parts": [call]}]
    text = msgspec.json.encode
    model = a_span(
        1, 0,
        gen_ai__operation__name="chat",
        gen_ai__conversation__id="talk-1",
        gen_ai__request__model="m-1",
        gen_ai__usage__input_tokens=7,
        gen_ai__input__messages=text(asked).decode(),
        gen_ai__output__messages=text(answer).decode(),
    )  # fmt: skip
    tool = a_span(
        2, 1,
        gen_ai__operation__name="execute_tool",
        gen_ai__conversation__id="talk-1",
        gen_ai__tool__name="find",
        gen_ai__tool__call__id="c1",
    )  # fmt: skip
    tool["status"] = {"code": 2, "message": "no index"}
    other = a_span(3, 2, gen_ai__conversation__id="talk-1")
    batch = {"resourceSpans": [{
        "resource": {"attributes": attributes(service__name="shop")},
        "scopeSpans": [{"spans": [tool, other, model]}],
    }]}  # fmt: skip
    ledger = Ledger()
    path = a_file(tmp_path, msgspec.json.encode(batch))
    found = list(Reading(path, "auto", Options(), ledger).records())
    events = [msgspec.json.decode(r.value) for r in found if isinstance(r, Record)]
    assert {e["meta"]["session_id"] for e in events} == {"talk-1"}
    assert {e["agent"] for e in events} == {"shop"}
    question, called, tokens = (e["payload"] for e in events)
    assert question["content"] == "where?"
    assert (called["tool"], called["status"]) == ("find", "error")
    assert (called["result"], called["duration_ms"]) == ("no index", 1000)
    assert (tokens["model"], tokens["input_tokens"]) == ("m-1", 7)
    assert ledger.left_out == {("span", "is neither of a model nor of a tool"): 1}
