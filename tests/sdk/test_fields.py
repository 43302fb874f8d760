"""Arguments of an event that have another type than their field."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from tests.sdk.recorded_events import stored


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ([{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}], "hi\nthere"),
        ([{"type": "input_text", "text": "a"}, "b"], "a\nb"),
        ([{"type": "text", "text": {"value": "of an assistant"}}], "of an assistant"),
        ([{"type": "image_url", "image_url": {"url": "data:..."}}], "[image]"),
        ([{"type": "image", "source": {"data": "iVBO"}}, {"type": "text", "text": "?"}],
         "[image]\n?"),
        ([{"type": "input_audio", "input_audio": {}}], "[audio]"),
        ([{"type": "document", "title": "Report"}], "[document Report]"),
        ([{"type": "tool_use", "id": "1", "name": "search", "input": {}}],
         "[tool_use search]"),
        ([{"type": "tool_result", "content": [{"type": "text", "text": "42"}]}], "42"),
        ({"parts": [{"text": "of Gemini"}], "role": "model"}, "of Gemini"),
        ([{"inline_data": {"mime_type": "image/png", "data": "iVBO"}}], "[image/png]"),
        ({"answer": 42}, '{"answer":42}'),
        ([1, 2], "[1,2]"),
        (42, "42"),
        (b"bytes", "bytes"),
    ],
)  # fmt: skip
def test_the_parts_of_a_message_become_its_text(content: object, text: str) -> None:
    found = stored("message", {"role": "user", "content": content})
    assert found["payload"]["content"] == text


@pytest.mark.parametrize(
    ("role", "stored_as"),
    [("developer", "system"), ("function", "tool"), ("human", "user"),
     ("ai", "assistant"), ("model", "assistant"), ("user", "user"),
     ("User", "user")],
)  # fmt: skip
def test_roles_of_other_apis_have_their_equivalent(role: str, stored_as: str) -> None:
    found = stored("message", {"role": role, "content": "x"})
    assert found["payload"]["role"] == stored_as


def test_numbers_of_any_type_fit_number_fields() -> None:
    tool = {"tool": "t", "status": "success", "duration_ms": timedelta(seconds=2)}
    assert stored("tool_call", tool)["payload"]["duration_ms"] == 2000
    message = {
        "role": "user", "content": "", "input_tokens": np.int64(7),
        "output_tokens": 8.0,
    }  # fmt: skip
    found = stored("message", message, credits_used=Decimal("0.5"))
    assert found["payload"]["input_tokens"] == 7
    assert found["payload"]["output_tokens"] == 8
    assert found["meta"]["credits_used"] == 0.5
    rating = {"name": "ok", "source": "human", "score": float("nan")}
    assert stored("feedback", rating)["payload"] == {
        "name": "ok", "source": "human", "semloop_notes": ["score: NaN became null"],
    }  # fmt: skip
