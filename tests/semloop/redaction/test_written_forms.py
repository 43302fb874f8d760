"""Each written form of a secret is found, alone and as a line of source."""

import json

import pyarrow as pa
import pytest

from operators.redaction.redact import suspects
from semloop.redaction.redactor import Redactor
from semloop.settings import Secret
from tests.semloop.redaction.written_forms import HARMLESS, SECRETS

REDACTOR = Redactor(Secret("a key for tests only, 32 letters"))
SOURCE = '''def run(self, name: str) -> None:
    """Run a step; see section 1.2.3.4."""
    for token in self.lexer.tokens():
        print(token)
%s
    return self.result[::2]
'''


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_found_in_each_form(text: str, secret: str) -> None:
    inner = json.dumps({"d": text if text.startswith("{") else f"x\n{text}"})
    raw = [text, json.dumps({"c": text}, ensure_ascii=False), json.dumps({"c": inner})]
    for record in (part.encode() for part in raw):
        cleaned = REDACTOR.json(record)
        assert secret.encode() not in cleaned
        assert REDACTOR.json(cleaned) == cleaned
        assert suspects(pa.array([record], pa.binary()), REDACTOR) == [0]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_found_as_a_line_of_source(text: str, secret: str) -> None:
    if text.startswith("{"):
        pytest.skip("a JSON document is no line of source")
    cleaned = REDACTOR.text(SOURCE % text)
    assert secret not in cleaned
    before, after = SOURCE.split("%s")
    assert cleaned.startswith(before)
    assert cleaned.endswith(after)


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_without_a_secret_is_not_changed(text: str) -> None:
    assert REDACTOR.text(text) is text
    source = SOURCE % text
    assert REDACTOR.text(source) is source
    record = json.dumps({"c": text, "d": [text]}).encode()
    assert REDACTOR.json(record) is record
