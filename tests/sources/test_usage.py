"""Tokens of all tools have one meaning: the parts are in the wholes."""

from pathlib import Path

import pytest

from semloop.event import Message
from sources.transcripts.usage import Tokens, tokens_of
from tests.sources.chats import a_chat, ids_of, message_of, payloads
from tests.sources.test_grown_files import events_of

USAGES: dict[str, tuple[dict[str, object], tuple[int | None, ...]]] = {
    "OpenAI": (
        {
            "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 8},
        },
        (100, 20, 64, 8),
    ),
    "Responses": (
        {
            "input_tokens": 100, "output_tokens": 20,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens_details": {"reasoning_tokens": 8},
        },
        (100, 20, 64, 8),
    ),
    "Anthropic": (
        {
            "input_tokens": 6, "output_tokens": 20, "cache_read_input_tokens": 64,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 30},
        },
        (100, 20, 64, None),
    ),
    "Anthropic without a cache": (
        {"input_tokens": 6, "output_tokens": 20, "cache_read_input_tokens": None},
        (6, 20, None, None),
    ),
    "a proxy that counts the cache twice": (
        {
            "prompt_tokens": 100, "completion_tokens": 20,
            "cache_read_input_tokens": 64, "cache_creation_input_tokens": 30,
        },
        (100, 20, 64, None),
    ),
    "Anthropic's names with a total of the wholes": (
        {
            "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
            "cache_read_input_tokens": 64,
        },
        (100, 20, 64, None),
    ),
    "LangChain": (
        {
            "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
            "input_token_details": {"cache_read": 64, "cache_creation": 30},
            "output_token_details": {"reasoning": 8},
        },
        (100, 20, 64, 8),
    ),
    "Codex": (
        {
            "input_tokens": 100, "cached_input_tokens": 64, "output_tokens": 20,
            "reasoning_output_tokens": 8, "total_tokens": 120,
        },
        (100, 20, 64, 8),
    ),
    "Gemini": (
        {
            "promptTokenCount": 100, "cachedContentTokenCount": 64,
            "candidatesTokenCount": 12, "thoughtsTokenCount": 8,
        },
        (100, 20, 64, 8),
    ),
    "Langfuse": (
        {
            "input": 36, "input_cached_tokens": 64, "output": 12,
            "output_reasoning_tokens": 8, "total": 120,
        },
        (100, 20, 64, 8),
    ),
    "reasoning apart, by the total": (
        {
            "prompt_tokens": 100, "completion_tokens": 12, "total_tokens": 120,
            "completion_tokens_details": {"reasoning_tokens": 8},
        },
        (100, 20, None, 8),
    ),
    "more in the cache than read": (
        {"inputTokens": 36, "outputTokens": 20, "cachedInputTokens": 64},
        (100, 20, 64, None),
    ),
    "a part of a wrong type": (
        {"input_tokens": 1, "output_tokens": 2, "cached_tokens": "many"},
        (1, 2, None, None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", USAGES)
def test_the_parts_are_in_the_wholes(name: str) -> None:
    usage, expected = USAGES[name]
    found = tokens_of(usage)
    assert found is not None
    assert found[:4] == expected


def test_sums_stay_within_64_bits() -> None:
    usage = {"input_tokens": 2**63 - 1, "cache_read_input_tokens": 5}
    found = tokens_of(usage)
    assert found == Tokens(2**63 - 1, None, 5, None, (2**63 - 1, None))


def test_parts_change_no_id_of_an_earlier_import() -> None:
    answers = message_of("user"), message_of("assistant", "hi")
    plain = {"input_tokens": 5, "output_tokens": 2}
    cached = {**plain, "cache_read_input_tokens": 90}
    before, now = (
        a_chat(*answers, model="m", usage=usage) for usage in (plain, cached)
    )
    assert ids_of(before) == ids_of(now)
    (_, found) = payloads(now)
    assert isinstance(found, Message)
    assert (found.input_tokens, found.cached_tokens) == (95, 90)


def test_the_last_line_of_an_answer_tells_its_tokens(tmp_path: Path) -> None:
    def line(number: int, made: int) -> dict[str, object]:
        usage = {"input_tokens": 3, "output_tokens": made, "cache_read_input_tokens": 9}
        text = [{"type": "text", "text": f"part {number}"}]
        message = {"id": "m1", "role": "assistant", "content": text, "usage": usage}
        head = {"type": "assistant", "sessionId": "s", "uuid": f"u{number}"}
        return {**head, "message": message}

    first, second = events_of(tmp_path, line(1, 1), line(2, 40))
    assert first["payload"] == {
        "role": "assistant", "content": "part 1", "input_tokens": 12,
        "output_tokens": 40, "cached_tokens": 9,
    }  # fmt: skip
    assert "output_tokens" not in second["payload"]
