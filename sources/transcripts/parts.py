"""Parts of a message's content, in the words of all tools.

A text part is read; a part that holds a call or a result is taken apart; everything
else (images, sound, files, sources) is kept in the payload without its binary data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

TEXT_TYPES = frozenset(
    ["text", "input_text", "output_text", "text_delta", "markdown", "summary_text"]
)
REASONING_TYPES = frozenset(
    ["thinking", "reasoning", "reasoning_text", "thought", "reasoning-part"]
)
CALL_TYPES = frozenset([
    "tool_use", "tool-call", "tool_call", "server_tool_use", "mcp_tool_use",
    "function_call", "functionCall", "custom_tool_call", "mcp_call", "toolCall",
    "function", "custom",
])  # fmt: skip
RESULT_TYPES = frozenset([
    "tool_result", "tool-result", "tool-error", "tool_call_response",
    "function_call_output", "function_response", "functionResponse", "toolResult",
    "custom_tool_call_output",
])  # fmt: skip
# Names of the fields of a call and of a result, in the order of preference.
CALL_IDS = ("call_id", "toolCallId", "tool_call_id", "tool_use_id", "id")
TOOL_NAMES = ("name", "toolName", "tool_name", "function_name")
ARGUMENTS = ("arguments", "args", "input", "parameters", "kwargs")
RESULT_IDS = ("tool_use_id", "toolCallId", "tool_call_id", "call_id", "id")
RESULTS = ("content", "result", "output", "response", "error")
# A longer string without a blank is data, not text.
DATA_CHARS_MIN = 512


@dataclass(slots=True)
class Stripped:
    """A copy of a part without binary data, and how many data values it had."""

    value: object
    data: int = 0


def text_of(part: Mapping[str, object]) -> str | None:
    """Return the text of a text part; None if it is another part."""
    kind = part.get("type")
    text = part.get("text")
    if kind is None or kind in TEXT_TYPES:
        if text is None and kind is not None:
            text = part.get("content")  # OpenTelemetry's parts.
        if isinstance(text, dict):
            text = text.get("value")  # OpenAI's threads.
        return text if isinstance(text, str) else None
    return None


def first(fields: Mapping[str, object], names: tuple[str, ...]) -> object:
    """Return the first value of these names that is present and not null."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value
    return None


def word(fields: Mapping[str, object], *names: str) -> str | None:
    """Return the first text or whole number of these names, as text."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def is_call(part: Mapping[str, object]) -> bool:
    """Whether a part is a call of a tool."""
    return part.get("type") in CALL_TYPES or "functionCall" in part


def is_result(part: Mapping[str, object]) -> bool:
    """Whether a part is the result of a tool."""
    kind = part.get("type")
    return (
        kind in RESULT_TYPES
        or "functionResponse" in part
        or (isinstance(kind, str) and kind.endswith(("_tool_result", "_call_output")))
    )


def call_of(part: Mapping[str, object]) -> tuple[str, object, str | None]:
    """Return tool, arguments and call id of a call of any tool."""
    inner = part
    for name in ("function", "custom", "functionCall"):
        if isinstance(found := part.get(name), dict):
            inner = found
    tool = first(inner, TOOL_NAMES)
    arguments = first(inner, ARGUMENTS)
    call_id = first(part, CALL_IDS)
    if call_id is None:
        call_id = first(inner, ("id",))
    if not isinstance(call_id, str):
        call_id = None if call_id is None else str(call_id)
    name = tool if isinstance(tool, str) and tool else str(part.get("type") or "tool")
    return name, arguments, call_id


@dataclass(slots=True)
class Result:
    """The result of a tool; `failed` is None unless the part says it."""

    call_id: str | None
    name: str | None
    value: object
    failed: bool | None


def result_of(part: Mapping[str, object]) -> Result:
    """Return the result that a part holds."""
    inner = part
    if isinstance(found := part.get("functionResponse"), dict):
        inner = found
    value = first(inner, RESULTS)
    failed = failed_flag(inner)
    if part.get("type") == "tool-error":
        failed = True
    if isinstance(value, dict):
        value, failed = _typed_output(value, failed)
    call_id = first(part, RESULT_IDS)
    if call_id is None:
        call_id = inner.get("id")
    return Result(
        None if call_id is None else str(call_id),
        word(inner, *TOOL_NAMES),
        plain(value),
        failed,
    )


def failed_flag(fields: Mapping[str, object]) -> bool | None:
    """Return what the flags and the status next to a result say; None if nothing."""
    for name in ("is_error", "isError"):
        if isinstance(flag := fields.get(name), bool):
            return flag
    if isinstance(flag := fields.get("success"), bool):
        return not flag
    status = fields.get("status")
    if status in ("error", "failed", "incomplete"):
        return True
    # "completed" says that the tool ran to its end, so its result still decides.
    return False if status == "success" else None


def _typed_output(
    value: dict[str, object], failed: bool | None
) -> tuple[object, bool | None]:
    """Unwrap an output that says its own type."""
    kind = value.get("type")
    if kind in ("text", "json", "error-text", "error-json", "content"):
        if kind in ("error-text", "error-json"):
            failed = True
        if "value" in value:
            return value["value"], failed
    if isinstance(kind, str) and kind.endswith("_tool_result_error"):
        return value, True
    return value, failed


def plain(value: object) -> object:
    """Return a list of text parts as one text; anything else without its data."""
    if isinstance(value, list) and value:
        texts = [text_of(part) if isinstance(part, dict) else None for part in value]
        if None not in texts:
            return "\n".join(text for text in texts if text is not None)
    if isinstance(value, dict) and value.get("type") == "text" and len(value) <= 2:
        return text_of(value) if text_of(value) is not None else value
    if isinstance(value, (dict, list)):
        return without_data(value).value
    return value


def without_data(value: object) -> Stripped:
    """Replace binary data in a JSON value by its length and hash."""
    if isinstance(value, str):
        if _is_data(value):
            return Stripped(_described(value), 1)
        return Stripped(value)
    if isinstance(value, dict):
        found = {key: without_data(item) for key, item in value.items()}
        copy = {key: item.value for key, item in found.items()}
        return Stripped(copy, sum(item.data for item in found.values()))
    if isinstance(value, list):
        items = [without_data(item) for item in value]
        return Stripped([i.value for i in items], sum(i.data for i in items))
    return Stripped(value)


def _is_data(text: str) -> bool:
    if text.startswith("data:") and ";base64," in text[:200]:
        return True
    if len(text) < DATA_CHARS_MIN:
        return False
    start = text[:DATA_CHARS_MIN]
    return start.isascii() and not any(c in start for c in " \t\"'<>{}.,:;") and (
        start.replace("+", "").replace("/", "").replace("-", "").replace("_", "")
        .replace("\r", "").replace("\n", "").isalnum()
    )  # fmt: skip


def _described(text: str) -> str:
    kind = text[5:].partition(";")[0] + " " if text.startswith("data:") else ""
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"<{kind}data, {len(text)} characters, sha256 {digest}>"


def label(part: Mapping[str, object]) -> str:
    """Return a text for a part that has none of its own: what and where it is."""
    kind = str(part.get("type") or "part")
    for name in ("image_url", "file", "source", "input_audio", "url", "image"):
        value = part.get(name)
        if isinstance(value, dict):
            value = first(value, ("url", "filename", "file_id", "media_type", "format"))
        if isinstance(value, str):
            found = str(without_data(value).value)
            return f"[{kind}: {found[:500]}]"
    named = word(part, "filename", "title", "name", "url", "file_id", "mediaType")
    return f"[{kind}: {named[:500]}]" if named else f"[{kind}]"
