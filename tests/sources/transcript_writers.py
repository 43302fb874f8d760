"""Generated conversations, and a small writer of the structure of each format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Call:
    """A call of a tool with its result."""

    tool: str
    arguments: dict[str, Any]
    result: str
    failed: bool


@dataclass(frozen=True)
class Turn:
    """What a user asks, what the agent calls, and what it answers, with tokens."""

    asked: str
    calls: tuple[Call, ...]
    answer: str
    tokens: tuple[int, int]
    cached: int = 0
    reasoning: int = 0

    @property
    def openai_usage(self) -> dict[str, Any]:
        """The tokens as OpenAI counts them: the parts are in the wholes."""
        return {
            "prompt_tokens": self.tokens[0],
            "completion_tokens": self.tokens[1],
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }

    @property
    def anthropic_usage(self) -> dict[str, Any]:
        """The tokens as Anthropic counts them: those of a cache are apart."""
        return {
            "input_tokens": self.tokens[0] - self.cached,
            "cache_read_input_tokens": self.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": self.tokens[1],
        }


@dataclass(frozen=True)
class Can:
    """What a format can express: failures, times and tokens of an answer.

    `reasoning`: the tokens of it apart.
    """

    failures: bool = True
    times: bool = True
    tokens: bool = True
    reasoning: bool = True


Talk = Sequence[Turn]
Writer = Callable[[Talk], bytes]


class Clock:
    """Gives each message the next second."""

    def __init__(self) -> None:
        self.at = START - timedelta(seconds=1)

    def next(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def text(self) -> str:
        return self.next().isoformat().replace("+00:00", "Z")


def json_lines(values: Sequence[object]) -> bytes:
    """Encode one value a line."""
    return b"\n".join(msgspec.json.encode(value) for value in values)


def args(call: Call) -> str:
    """Return the arguments of a call as OpenAI writes them."""
    return msgspec.json.encode(call.arguments).decode()


def in_messages(
    talk: Talk,
    calls_of: Callable[[Sequence[tuple[str, Call]], str], dict[str, Any]],
    results_of: Callable[[Sequence[tuple[str, Call]], str], list[dict[str, Any]]],
    text_of: Callable[[str, str, str, Turn | None], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Write a conversation as messages, with the parts of one API."""
    clock, found, number = Clock(), [], 0
    for turn in talk:
        found.append(text_of("user", turn.asked, clock.text(), None))
        named = [(f"c{number + i}", call) for i, call in enumerate(turn.calls)]
        number += len(named)
        if named:
            found.append(calls_of(named, clock.text()))
            found.extend(results_of(named, clock.text()))
        found.append(text_of("assistant", turn.answer, clock.text(), turn))
    return found


def openai(talk: Talk) -> bytes:
    def text(role: str, content: str, at: str, turn: Turn | None) -> dict[str, Any]:
        usage = {}
        if turn is not None:
            usage = {"usage": turn.openai_usage}
        return {"role": role, "content": content, "timestamp": at, **usage}

    def calls(named: Any, at: str) -> dict[str, Any]:
        function = [
            {
                "id": i,
                "type": "function",
                "function": {"name": c.tool, "arguments": args(c)},
            }
            for i, c in named
        ]
        message = {"role": "assistant", "content": None, "timestamp": at}
        return {**message, "tool_calls": function}

    def results(named: Any, at: str) -> list[dict[str, Any]]:
        return [
            {"role": "tool", "tool_call_id": i, "content": c.result, "timestamp": at, "is_error": c.failed}
            for i, c in named
        ]  # fmt: skip

    chat = {
        "id": "s",
        "agent": "a",
        "messages": in_messages(talk, calls, results, text),
    }
    return msgspec.json.encode(chat)


def _blocks(named: Any) -> list[dict[str, Any]]:
    return [
        {"type": "tool_use", "id": i, "name": c.tool, "input": c.arguments}
        for i, c in named
    ]


def _result_blocks(named: Any) -> list[dict[str, Any]]:
    return [
        {
            "type": "tool_result",
            "tool_use_id": i,
            "is_error": c.failed,
            "content": [{"type": "text", "text": c.result}],
        }
        for i, c in named
    ]


def _anthropic_text(
    role: str, content: str, at: str, turn: Turn | None
) -> dict[str, Any]:
    usage = {}
    if turn is not None:
        usage = {"usage": turn.anthropic_usage}
    blocks = [{"type": "text", "text": content}]
    return {"role": role, "content": blocks, "timestamp": at, **usage}


def _anthropic_messages(talk: Talk) -> list[dict[str, Any]]:
    return in_messages(
        talk,
        lambda n, at: {"role": "assistant", "content": _blocks(n), "timestamp": at},
        lambda n, at: [{"role": "user", "content": _result_blocks(n), "timestamp": at}],
        _anthropic_text,
    )


def anthropic(talk: Talk) -> bytes:
    return msgspec.json.encode({"messages": _anthropic_messages(talk), "model": "m"})


def claude_code(talk: Talk) -> bytes:
    lines = []
    for number, message in enumerate(_anthropic_messages(talk)):
        at = message.pop("timestamp")
        kind = message["role"]
        lines.append({
            "type": kind, "sessionId": "s", "uuid": f"u{number}", "timestamp": at,
            "message": {"id": f"m{number}", **message} if kind == "assistant" else message,
        })  # fmt: skip
    return json_lines(lines)


def ai_sdk(talk: Talk) -> bytes:
    """Write calls and their results as one part."""
    messages: list[dict[str, Any]] = []
    for number, turn in enumerate(talk):
        messages.append(
            {"role": "user", "parts": [{"type": "text", "text": turn.asked}]}
        )
        parts: list[dict[str, Any]] = []
        for i, call in enumerate(turn.calls):
            outcome = (
                {"state": "output-error", "errorText": call.result}
                if call.failed
                else {"state": "output-available", "output": call.result}
            )
            part = {"type": f"tool-{call.tool}", "toolCallId": f"c{number}-{i}"}
            parts.append({**part, "input": call.arguments, **outcome})
        parts.append({"type": "text", "text": turn.answer})
        given, made = turn.tokens
        usage = {"usage": {
            "inputTokens": given, "outputTokens": made,
            "cachedInputTokens": turn.cached, "reasoningTokens": turn.reasoning,
        }}  # fmt: skip
        messages.append({"role": "assistant", "parts": parts, "metadata": usage})
    return msgspec.json.encode(messages)


def langchain(talk: Talk) -> bytes:
    def text(role: str, content: str, at: str, turn: Turn | None) -> dict[str, Any]:
        usage = {}
        if turn is not None:
            given, made = turn.tokens
            usage = {"usage_metadata": {
                "input_tokens": given, "output_tokens": made,
                "input_token_details": {"cache_read": turn.cached},
                "output_token_details": {"reasoning": turn.reasoning},
            }}  # fmt: skip
        kind = "human" if role == "user" else "ai"
        return {"type": kind, "data": {"content": content, **usage}}

    def calls(named: Any, at: str) -> dict[str, Any]:
        made = [{"id": i, "name": c.tool, "args": c.arguments} for i, c in named]
        return {"type": "ai", "data": {"content": "", "tool_calls": made}}

    def results(named: Any, at: str) -> list[dict[str, Any]]:
        return [
            {"type": "tool", "data": {
                "content": c.result, "tool_call_id": i,
                "status": "error" if c.failed else "success",
            }}
            for i, c in named
        ]  # fmt: skip

    return msgspec.json.encode(in_messages(talk, calls, results, text))
