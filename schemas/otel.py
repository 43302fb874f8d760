"""Maps our field names to OpenTelemetry's GenAI semantic conventions.

Names are from the repository `open-telemetry/semantic-conventions-genai` at
`REGISTRY_COMMIT`. Every `gen_ai.*` name still has the status "Development": it may
change without a new major version, so no other module contains these names. Content
(messages, arguments, results) is sensitive: OpenTelemetry does not record it by
default; SemLoop redacts it before storing it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

REGISTRY_COMMIT = "002c8a6e"


@dataclass(frozen=True, slots=True)
class Field:
    """One of our fields. `otel=None`: the conventions have no name for it."""

    otel: str | None
    content: bool = False
    note: str = ""


ENVELOPE: Mapping[str, Field] = {
    "id": Field(None),
    "type": Field("gen_ai.operation.name", note="see OPERATIONS"),
    "timestamp": Field("timestamp", note="of the span's end or of the event"),
    "agent": Field("gen_ai.agent.name"),
    "payload": Field(None, note="see PAYLOADS"),
    "meta": Field(None, note="see META"),
}

META: Mapping[str, Field] = {
    "session_id": Field("gen_ai.conversation.id"),
    "namespace": Field(None),
    "credits_used": Field(None),
    "context_hash": Field(None),
    "user_id": Field(None),
    "task": Field(None, content=True),
    "task_type": Field("gen_ai.workflow.name", note="nearest: the kind of work"),
    "tags": Field(None),
    "trace_id": Field("trace_id", note="of the span's context"),
    "span_id": Field("span_id", note="of the span's context"),
    "parent_span_id": Field("parent_span_id", note="of the span"),
    "importance": Field(None),
    "agent_version": Field("gen_ai.agent.version"),
    "prompt_id": Field("gen_ai.prompt.name", note="nearest: the name of a prompt"),
    "prompt_version": Field(None),
    "run_id": Field(None),
}

PAYLOADS: Mapping[str, Mapping[str, Field]] = {
    "tool_call": {
        "tool": Field("gen_ai.tool.name"),
        "status": Field(None, note="the span's status"),
        "arguments": Field("gen_ai.tool.call.arguments", content=True),
        "result": Field("gen_ai.tool.call.result", content=True),
        "duration_ms": Field(None, note="metric gen_ai.execute_tool.duration"),
        "call_id": Field("gen_ai.tool.call.id"),
        "error_type": Field("error.type"),
    },
    "state_change": {
        "to_state": Field(None),
        "from_state": Field(None),
        "reason": Field(None, content=True),
    },
    "completion": {
        "outcome": Field("gen_ai.evaluation.score.label"),
        "task": Field(None, content=True),
        "reward": Field("gen_ai.evaluation.score.value"),
        "summary": Field("gen_ai.evaluation.explanation", content=True),
    },
    "error": {
        "error_type": Field("error.type"),
        "message": Field(None, content=True, note="exception.message of OpenInference"),
        "stack": Field(None, content=True, note="exception.stacktrace, likewise"),
        "recoverable": Field(None),
    },
    "message": {
        "role": Field(None, note="inside the messages"),
        "content": Field(
            "gen_ai.output.messages",
            content=True,
            note="of the assistant; see MESSAGE_CONTENT for the other roles",
        ),
        "model": Field("gen_ai.response.model"),
        "input_tokens": Field("gen_ai.usage.input_tokens"),
        "output_tokens": Field("gen_ai.usage.output_tokens"),
        "cached_tokens": Field("gen_ai.usage.cache_read.input_tokens"),
        "reasoning_tokens": Field("gen_ai.usage.reasoning.output_tokens"),
    },
    "feedback": {
        "name": Field("gen_ai.evaluation.name"),
        "source": Field(None),
        "score": Field("gen_ai.evaluation.score.value"),
        "label": Field("gen_ai.evaluation.score.label"),
        "comment": Field("gen_ai.evaluation.explanation", content=True),
        "event_id": Field(None, note="the span that the result belongs to"),
    },
    "tool_start": {
        "tool": Field("gen_ai.tool.name"),
        "running_ms": Field(None, note="the span has not ended"),
        "call_id": Field("gen_ai.tool.call.id"),
    },
}

# Type of event -> value of `gen_ai.operation.name`, or the name of an OpenTelemetry
# event. `plan` is the closest to a state change; custom operations are allowed.
OPERATIONS: Mapping[str, str] = {
    "tool_call": "execute_tool",
    "state_change": "plan",
    "completion": "invoke_agent",
    "error": "gen_ai.execute_tool.exception",
    "message": "chat",
    "feedback": "gen_ai.evaluation.result",
    "tool_start": "execute_tool",
}

# `message.role` -> attribute for the content: messages of other roles than assistant
# are input of the next `chat`.
MESSAGE_CONTENT: Mapping[str, str] = {
    "assistant": "gen_ai.output.messages",
    "user": "gen_ai.input.messages",
    "tool": "gen_ai.input.messages",
    "system": "gen_ai.system_instructions",
}

# All content attributes of the conventions, including those without a field of ours:
# code that imports or exports spans must redact these.
CONTENT_ATTRIBUTES = frozenset(
    {
        "gen_ai.evaluation.explanation",
        "gen_ai.input.messages",
        "gen_ai.memory.query.text",
        "gen_ai.memory.records",
        "gen_ai.output.messages",
        "gen_ai.retrieval.documents",
        "gen_ai.retrieval.query.text",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.definitions",
    }
)
