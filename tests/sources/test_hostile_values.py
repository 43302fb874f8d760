"""A hostile value becomes a dead letter, or loses a field; the others are imported."""

from pathlib import Path

import msgspec
import pytest

from schemas.lines import Record
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from sources.transcripts.versions import Versions
from tests.sources.chats import a_chat, assistant_calls, message_of, result
from tests.sources.line_files import a_file

GOOD = a_chat(message_of("user", "good"), id="good")
DEEP = "[" * 800 + "]" * 800
HOSTILE = {
    "last time": a_chat(
        message_of("user", timestamp="9999-12-31T23:59:59.999999Z"),
        message_of("assistant"),
    ),
    "digits": a_chat(assistant_calls("a"), result("a", "Exit code " + "1" * 5_000)),
    "deep field": a_chat(message_of("user", more=0)).replace(
        b'"more":0', f'"more":{DEEP}'.encode()
    ),
    "deep content": a_chat(message_of("user", content=0)).replace(
        b'"content":0', f'"content":{DEEP}'.encode()
    ),
    "deep arguments": a_chat(assistant_calls("a", arguments=0)).replace(
        b'"arguments":0', f'"arguments":{DEEP}'.encode()
    ),
}


@pytest.mark.parametrize("compared", [True, False])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_chat_stops_no_other(
    tmp_path: Path, name: str, compared: bool
) -> None:
    ledger = Ledger()
    path = a_file(tmp_path, GOOD + b"\n" + HOSTILE[name] + b"\n" + GOOD)
    versions = Versions(lambda _: {}) if compared else None
    found = list(Reading(path, "chat", Options(versions=versions), ledger).records())
    assert [r.key for r in found if isinstance(r, Record)].count(b"good") == 2
    assert any(isinstance(r, Record) and r.key != b"good" for r in found)


@pytest.mark.parametrize("inner", ['"' + "7" * 5_000 + '"', DEEP])
def test_a_hostile_attribute_of_a_span_stops_no_other(
    tmp_path: Path, inner: str
) -> None:
    def batch(value: str, text: str) -> bytes:
        return (
            '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"t","attributes":['
            f'{{"key":"gen_ai.usage.input_tokens","value":{{"intValue":{value}}}}},'
            f'{{"key":"gen_ai.input.messages","value":{{"x":{value}}}}},'
            '{"key":"gen_ai.output.messages","value":'
            f'{{"stringValue":"{text}"}}}}]}}]}}]}}]}}'
        ).encode()

    path = a_file(tmp_path, batch(inner, "bad") + b"\n" + batch('"7"', "good"))
    found = list(Reading(path, "auto", Options(), Ledger()).records())
    events = [msgspec.json.decode(r.value) for r in found if isinstance(r, Record)]
    contents = [e["payload"].get("content") for e in events if "payload" in e]
    assert "good" in contents
