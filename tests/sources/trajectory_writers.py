"""Writers of trajectories, rollouts and traces, and the list of all writers."""

from typing import Any

import msgspec

from tests.sources.transcript_writers import (
    Call,
    Can,
    Clock,
    Talk,
    Turn,
    Writer,
    ai_sdk,
    anthropic,
    args,
    claude_code,
    json_lines,
    langchain,
    openai,
)


def _items(talk: Talk) -> list[tuple[str, dict[str, Any], Turn | None]]:
    """Write a conversation as items, with their times and tokens."""
    clock, number = Clock(), 0
    found: list[tuple[str, dict[str, Any], Turn | None]] = []

    def message(role: str, kind: str, text: str) -> dict[str, Any]:
        content = [{"type": kind, "text": text}]
        return {"type": "message", "role": role, "content": content}

    for turn in talk:
        found.append((clock.text(), message("user", "input_text", turn.asked), None))
        for call in turn.calls:
            item = {"type": "function_call", "call_id": f"c{number}", "name": call.tool}
            found.append((clock.text(), {**item, "arguments": args(call)}, None))
            output = {"output": call.result, "success": not call.failed}
            item = {"type": "function_call_output", "call_id": f"c{number}"}
            found.append((clock.text(), {**item, **output}, None))
            number += 1
        answer = message("assistant", "output_text", turn.answer)
        found.append((clock.text(), answer, turn))
    return found


def responses(talk: Talk) -> bytes:
    items = [item for _, item, _ in _items(talk)]
    return msgspec.json.encode({"id": "s", "items": items})


def codex(talk: Talk) -> bytes:
    clock = Clock().text()
    lines: list[dict[str, Any]] = [
        {"timestamp": clock, "type": "session_meta", "payload": {"id": "s"}}
    ]
    for number, (at, item, turn) in enumerate(_items(talk)):
        lines.append({"timestamp": at, "type": "response_item", "payload": item})
        if turn is not None:
            usage = {
                "input_tokens": turn.tokens[0], "output_tokens": turn.tokens[1],
                "cached_input_tokens": turn.cached,
                "reasoning_output_tokens": turn.reasoning,
            }  # fmt: skip
            total = {"input_tokens": number}
            info = {"last_token_usage": usage, "total_token_usage": total}
            payload = {"type": "token_count", "info": info}
            lines.append({"timestamp": at, "type": "event_msg", "payload": payload})
    return json_lines(lines)


def atif(talk: Talk) -> bytes:
    clock = Clock()
    steps: list[dict[str, Any]] = []
    for turn in talk:
        steps.append(
            {"source": "user", "message": turn.asked, "timestamp": clock.text()}
        )
        if turn.calls:
            made = [
                {
                    "tool_call_id": f"c{i}",
                    "function_name": c.tool,
                    "arguments": c.arguments,
                }
                for i, c in enumerate(turn.calls)
            ]
            results = [
                {"source_call_id": f"c{i}", "content": c.result}
                for i, c in enumerate(turn.calls)
            ]
            steps.append({
                "source": "agent", "message": "", "timestamp": clock.text(),
                "tool_calls": made, "observation": {"results": results},
            })  # fmt: skip
        given, made_ = turn.tokens
        steps.append({
            "source": "agent", "message": turn.answer, "timestamp": clock.text(),
            "metrics": {
                "prompt_tokens": given, "completion_tokens": made_,
                "cached_tokens": turn.cached,
                "extra": {"reasoning_tokens": turn.reasoning},
            },
        })  # fmt: skip
    numbered = [{"step_id": i, **step} for i, step in enumerate(steps, 1)]
    head = {"schema_version": "ATIF-v1.6", "session_id": "s", "agent": {"name": "a"}}
    return msgspec.json.encode({**head, "steps": numbered})


def openhands(talk: Talk) -> bytes:
    clock = Clock()
    events: list[dict[str, Any]] = []

    def add(source: str, **fields: Any) -> int:
        number = len(events)
        at = clock.text()
        events.append({"id": number, "timestamp": at, "source": source, **fields})
        return number

    for turn in talk:
        add("user", action="message", args={"content": turn.asked})
        for call in turn.calls:
            cause = add("agent", action=call.tool, args=call.arguments)
            extras = {"metadata": {"exit_code": int(call.failed)}}
            add(
                "environment",
                observation=call.tool,
                cause=cause,
                content=call.result,
                extras=extras,
            )
        add("agent", action="message", args={"content": turn.answer})
    return msgspec.json.encode(events)


def swe_agent(talk: Talk) -> bytes:
    steps: list[dict[str, Any]] = []
    for turn in talk:
        steps.append({"action": "", "observation": "", "thought": turn.asked})
        for call in turn.calls:
            steps.append({"action": call.tool, "observation": call.result})
        steps.append({"action": "", "observation": "", "thought": turn.answer})
    return msgspec.json.encode({"trajectory": steps, "info": {}})


def sharegpt(talk: Talk) -> bytes:
    turns = []
    for turn in talk:
        turns.append({"from": "human", "value": turn.asked})
        for call in turn.calls:
            value = {"name": call.tool, "arguments": call.arguments}
            text = msgspec.json.encode(value).decode()
            turns.append({"from": "function_call", "value": text})
            turns.append({"from": "observation", "value": call.result})
        turns.append({"from": "gpt", "value": turn.answer})
    return msgspec.json.encode({"conversations": turns})


def _spans(talk: Talk, shape: Any) -> list[Any]:
    """Write models and tools as spans; each model gets all messages before it."""
    clock = Clock()
    found: list[Any] = []
    before: list[Any] = []
    for turn in talk:
        before.append({"role": "user", "content": turn.asked})
        start = clock.text()
        for call in turn.calls:
            found.append(shape.tool(len(found), call, clock.text(), clock.text()))
        answer = {"role": "assistant", "content": turn.answer}
        ends = (start, clock.text())
        found.append(shape.model(len(found), list(before), answer, turn, ends))
        before.append(answer)
    return found


class LangfuseShape:
    """Observations of Langfuse."""

    def model(
        self, number: int, given: Any, answer: Any, turn: Turn, ends: Any
    ) -> dict[str, Any]:
        usage = {
            "input": turn.tokens[0] - turn.cached,
            "input_cached_tokens": turn.cached,
            "output": turn.tokens[1] - turn.reasoning,
            "output_reasoning_tokens": turn.reasoning,
            "total": sum(turn.tokens),
        }
        return {
            "id": f"o{number}", "traceId": "s", "type": "GENERATION", "input": given,
            "output": answer, "usageDetails": usage,
            "startTime": ends[0], "endTime": ends[1],
        }  # fmt: skip

    def tool(self, number: int, call: Call, start: str, end: str) -> dict[str, Any]:
        level = "ERROR" if call.failed else "DEFAULT"
        return {
            "id": f"o{number}", "traceId": "s", "type": "TOOL", "name": call.tool,
            "input": call.arguments, "output": call.result, "level": level,
            "startTime": start, "endTime": end,
        }  # fmt: skip


class LangsmithShape:
    """Runs of LangSmith."""

    def model(
        self, number: int, given: Any, answer: Any, turn: Turn, ends: Any
    ) -> dict[str, Any]:
        return {
            "id": f"r{number}", "trace_id": "s", "run_type": "llm", "name": "llm",
            "inputs": {"messages": [given]}, "outputs": {"messages": [answer]},
            "prompt_tokens": turn.tokens[0], "completion_tokens": turn.tokens[1],
            "prompt_token_details": {"cache_read": turn.cached},
            "completion_token_details": {"reasoning": turn.reasoning},
            "start_time": ends[0], "end_time": ends[1],
        }  # fmt: skip

    def tool(self, number: int, call: Call, start: str, end: str) -> dict[str, Any]:
        return {
            "id": f"r{number}", "trace_id": "s", "run_type": "tool", "name": call.tool,
            "inputs": call.arguments, "outputs": {"output": call.result},
            "error": "failed" if call.failed else None,
            "start_time": start, "end_time": end,
        }  # fmt: skip


def langfuse(talk: Talk) -> bytes:
    return json_lines(_spans(talk, LangfuseShape()))


def langsmith(talk: Talk) -> bytes:
    return json_lines(_spans(talk, LangsmithShape()))


WRITERS: dict[str, tuple[Writer, Can]] = {
    "chat": (openai, Can()),
    "anthropic": (anthropic, Can(reasoning=False)),
    "claude-code": (claude_code, Can(reasoning=False)),
    "ai-sdk": (ai_sdk, Can(times=False)),
    "langchain": (langchain, Can(times=False)),
    "responses": (responses, Can(times=False, tokens=False)),
    "codex": (codex, Can()),
    "atif": (atif, Can(failures=False)),
    "openhands": (openhands, Can(tokens=False)),
    "swe-agent": (swe_agent, Can(failures=False, times=False, tokens=False)),
    "sharegpt": (sharegpt, Can(failures=False, times=False, tokens=False)),
    "langfuse": (langfuse, Can(times=False)),
    "langsmith": (langsmith, Can(times=False)),
}
