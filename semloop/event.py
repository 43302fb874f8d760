"""The event, version 1: the envelope and one payload per type.

msgspec decodes the structs in strict mode: it never converts a bool or a string to a
number. Unknown fields of a payload stay in the stored payload; unknown fields of the
envelope and of `meta` go to the `extra` column.
`gc=False`: events contain no reference cycles, so the collector need not track them.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from semloop.texts.event_text import call_text, within

SCHEMA_VERSION = "1"
SCHEMA_HEADER = "semloop-schema"
# Records that may be sent more than once on purpose (`import`, `dlq replay`) carry this
# header. Its value becomes the id of the record's dead letter, so that a repeated
# record makes only one.
IDEMPOTENCY_HEADER = "semloop-idempotency-key"

EVENT_TYPES = (
    "tool_call", "state_change", "completion", "error", "message", "feedback",
)  # fmt: skip
EventType = Literal[
    "tool_call", "state_change", "completion", "error", "message", "feedback"
]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
# operators/decoding/decode.py checks both patterns per batch; msgspec's `pattern` would
# cost more than decoding all other fields of an event.
EVENT_ID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
CONTEXT_HASH_PATTERN = "^sha256:[0-9a-f]{64}$"
EventId = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
ContextHash = Annotated[
    str, msgspec.Meta(extra_json_schema={"pattern": CONTEXT_HASH_PATTERN})
]

# Maximum length of `text` in characters: enough for SQL and for one line on a screen.
# The payload contains the full text, from which memories are made.
TEXT_CHARS_MAX = 4000

# tool, status, outcome, reward, score, label, error_type, duration_ms, model,
# input_tokens, output_tokens, role, task, text
PayloadColumns = tuple[
    str | None, str | None, str | None, float | None, float | None, str | None,
    str | None, float | None, str | None, int | None, int | None, str | None,
    str | None, str,
]  # fmt: skip


class ToolCall(msgspec.Struct, gc=False, omit_defaults=True):
    """One call of a tool, with its result or error."""

    tool: str
    status: Literal["success", "error"]
    arguments: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    duration_ms: float | None = None
    call_id: str | None = None
    error_type: str | None = None

    def columns(self) -> PayloadColumns:
        """The payload's columns of `events`."""
        return (
            self.tool, self.status, None, None, None, None, self.error_type,
            self.duration_ms, None, None, None, None, None, self.text(),
        )  # fmt: skip

    def text(self, chars: int = TEXT_CHARS_MAX) -> str:
        """Return the call as a text of at most `chars` characters."""
        call = f"{self.tool} {self.status}"
        return call_text(call, self.arguments, self.result, chars)


class StateChange(msgspec.Struct, gc=False, omit_defaults=True):
    """A transition of the agent from one state of its work to another."""

    to_state: str
    from_state: str | None = None
    reason: str | None = None

    def columns(self) -> PayloadColumns:
        """The payload's columns of `events`."""
        text = f"{self.from_state} -> {self.to_state}" if self.from_state else (
            f"-> {self.to_state}"
        )  # fmt: skip
        if self.reason:
            text += ": " + self.reason
        return (
            None, None, None, None, None, None, None, None, None, None, None, None,
            None, text,
        )  # fmt: skip


class Completion(msgspec.Struct, gc=False, omit_defaults=True):
    """The end of an episode, with its outcome."""

    outcome: Literal["success", "partial", "failure"]
    task: str | None = None
    reward: float | None = None
    summary: str | None = None

    def columns(self) -> PayloadColumns:
        """The payload's columns of `events`."""
        text = ": ".join(s for s in (self.outcome, self.task, self.summary) if s)
        return (
            None, None, self.outcome, self.reward, None, None, None, None, None, None,
            None, None, self.task, text,
        )  # fmt: skip


class Error(msgspec.Struct, gc=False, omit_defaults=True):
    """A failure outside a tool call."""

    error_type: str
    message: str
    stack: str | None = None
    recoverable: bool | None = None

    def columns(self) -> PayloadColumns:
        """The payload's columns of `events`."""
        return (
            None, None, None, None, None, None, self.error_type, None, None, None, None,
            None, None, self.text(),
        )  # fmt: skip

    def text(self, chars: int = TEXT_CHARS_MAX) -> str:
        """Return the error, without its stack, in at most `chars` characters."""
        return within(f"{self.error_type}: {self.message}", chars)


class Message(msgspec.Struct, gc=False, omit_defaults=True):
    """A message of the conversation, with the role of its author."""

    role: Literal["user", "assistant", "system", "tool"]
    content: str
    model: str | None = None
    input_tokens: Int64 | None = None
    output_tokens: Int64 | None = None

    def columns(self) -> PayloadColumns:
        """The payload's columns of `events`."""
        return (
            None, None, None, None, None, None, None, None, self.model,
            self.input_tokens, self.output_tokens, self.role, None,
            self.text(),
        )  # fmt: skip

    def text(self, chars: int = TEXT_CHARS_MAX) -> str:
        """Return the content in at most `chars` characters."""
        content = self.content
        return content if len(content) <= chars else within(content, chars)


class Feedback(msgspec.Struct, gc=False, omit_defaults=True):
    """A rating of a session or event, possibly days later; never opens an episode."""

    name: str
    source: Literal["human", "agent", "evaluator"]
    score: float | None = None
    label: str | None = None
    comment: str | None = None
    event_id: str | None = None

    def columns(self) -> PayloadColumns:
        """The payload's columns of `events`."""
        optional = (self.label, self.comment)
        parts = [self.name, *(s for s in optional if s)]
        if self.score is not None:
            parts.insert(1, f"{self.score:g}")
        return (
            None, None, None, None, self.score, self.label, None, None, None, None,
            None, None, None, ": ".join(parts),
        )  # fmt: skip


Payload = ToolCall | StateChange | Completion | Error | Message | Feedback


class Meta(msgspec.Struct, gc=False, omit_defaults=True):
    """The session, user and task of an event, and its cost."""

    session_id: Annotated[str, msgspec.Meta(min_length=1)]
    namespace: str = "default"
    credits_used: float = 0
    context_hash: ContextHash | None = None
    user_id: str | None = None
    task: str | None = None
    task_type: str | None = None
    tags: list[str] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    importance: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class Envelope(msgspec.Struct, gc=False):
    """One Kafka message. `payload` stays raw until its type is known."""

    id: EventId
    type: EventType
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    payload: msgspec.Raw
    meta: Meta


class StrictMeta(Meta, gc=False, forbid_unknown_fields=True):
    """`Meta` that rejects unknown fields: the fastest way to detect them."""


class StrictEnvelope(Envelope, gc=False, forbid_unknown_fields=True):
    """`Envelope` that rejects unknown fields."""

    meta: StrictMeta


PAYLOADS: dict[str, type[Payload]] = {
    "tool_call": ToolCall,
    "state_change": StateChange,
    "completion": Completion,
    "error": Error,
    "message": Message,
    "feedback": Feedback,
}
decode_envelope: Callable[[bytes], Envelope] = msgspec.json.Decoder(Envelope).decode
decode_strict: Callable[[bytes], Envelope] = msgspec.json.Decoder(StrictEnvelope).decode
decode_payload: dict[str, Callable[[msgspec.Raw], Payload]] = {
    name: msgspec.json.Decoder(struct).decode for name, struct in PAYLOADS.items()
}
