"""Sessions as trajectories of ATIF: one step for each message and each call.

What ATIF has no place for is in `extra.semloop` of a step, a call or the trajectory, so
that an import of the trajectory gives the same events.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

VERSION = "ATIF-v1.6"
OWN = "semloop"
# Names in `meta` of the events, which all events of a session share.
HEAD = ("namespace", "user_id", "task", "tags")
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the lake: `payload` is its JSON; `head` has the fields of `HEAD`."""

    type: str
    ts: datetime
    agent: str
    payload: str
    version: str | None = None
    head: Mapping[str, object] = field(default_factory=dict)


def trajectory_of(session: str, events: Iterable[StoredEvent]) -> dict[str, object]:
    """Return the trajectory of a session, from its events in their order.

    Raises:
        ValueError: there is no message and no call, so ATIF has no step.
    """
    steps: list[dict[str, object]] = []
    others: list[dict[str, object]] = []
    first: StoredEvent | None = None
    for event in events:
        first = first or event
        payload = msgspec.json.decode(event.payload)
        at = event.ts.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if event.type == "message":
            step = _message(payload)
        elif event.type == "tool_call":
            step = _call(payload, len(steps) + 1)
        else:
            others.append({"type": event.type, "timestamp": at, "payload": payload})
            continue
        steps.append({"step_id": len(steps) + 1, "timestamp": at, **step})
    if first is None or not steps:
        raise ValueError
    head = {name: value for name, value in first.head.items() if value is not None}
    if others:
        head["events"] = others
    agent = {"name": first.agent, "version": first.version or _UNKNOWN}
    found: dict[str, object] = {"schema_version": VERSION, "session_id": session}
    found |= {"agent": agent, "steps": steps}
    return found | ({"extra": {OWN: head}} if head else {})


def _message(payload: dict[str, object]) -> dict[str, object]:
    role, content = payload.pop("role"), payload.pop("content")
    if role == "tool":
        # A result that no call is known of.
        results = [{"content": content}]
        return {"source": "agent", "message": "", "observation": {"results": results},
                **_extra(payload)}  # fmt: skip
    if role != "assistant":
        return {"source": role, "message": content, **_extra(payload)}
    step: dict[str, object] = {"source": "agent", "message": content}
    if payload.get("part") == "reasoning":
        payload.pop("part")
        step |= {"message": "", "reasoning_content": content}
    if (model := payload.pop("model", None)) is not None:
        step["model_name"] = model
    counts = {
        "prompt_tokens": payload.pop("input_tokens", None),
        "completion_tokens": payload.pop("output_tokens", None),
        "cached_tokens": payload.pop("cached_tokens", None),
    }
    metrics: dict[str, object] = {n: v for n, v in counts.items() if v is not None}
    if (thought := payload.pop("reasoning_tokens", None)) is not None:
        metrics["extra"] = {"reasoning_tokens": thought}
    return {**step, **({"metrics": metrics} if metrics else {}), **_extra(payload)}


def _call(payload: dict[str, object], number: int) -> dict[str, object]:
    call_id = payload.pop("call_id", None)
    own: dict[str, object] = {} if call_id is not None else {"call_id": None}
    name = str(call_id) if call_id is not None else f"step-{number}"
    arguments = payload.pop("arguments", None)
    if not isinstance(arguments, dict):
        own["arguments"], arguments = arguments, {}
    call = {
        "tool_call_id": name,
        "function_name": payload.pop("tool"),
        "arguments": arguments,
    }
    step: dict[str, object] = {"source": "agent", "message": "", "tool_calls": [call]}
    if "result" in payload:
        content = payload.pop("result")
        if not isinstance(content, str):
            content = msgspec.json.encode(content).decode()
            own["result"] = "json"
        result = {"source_call_id": name, "content": content}
        step["observation"] = {"results": [result]}
    return {**step, **_extra({**payload, **own})}


def _extra(rest: dict[str, object]) -> dict[str, object]:
    return {"extra": {OWN: rest}} if rest else {}
