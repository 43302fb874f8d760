"""The text of a message whose content is a list of parts.

Parts of OpenAI, Anthropic and Gemini are known by their fields. A part that has no text
becomes a placeholder, such as `[image]`.
"""

from typing import Any

import msgspec

from semloop.agent.notes import Notes

TYPE_CHARS_MAX = 50
# Fields of a part that have its text, or parts of their own.
TEXTS = ("text", "refusal", "thinking", "content", "parts", "output")
NAMES = ("name", "filename", "title", "file_name")
INLINE = ("inline_data", "inlineData", "file_data", "fileData")


def content_text(content: Any, name: str, notes: Notes) -> str:
    """Return a plain value as text: its parts, one a line, or else JSON."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, dict) and _is_part(content):
        return _part_text(content, name, notes)
    if isinstance(content, list) and all(_is_part(part) for part in content):
        texts = [content_text(part, name, notes) for part in content]
        return "\n".join(text for text in texts if text)
    return msgspec.json.encode(content).decode()


def _is_part(part: object) -> bool:
    if isinstance(part, dict):
        return isinstance(part.get("type"), str) or any(
            field in part for field in (*TEXTS, *INLINE)
        )
    return part is None or isinstance(part, str)


def _part_text(part: dict[str, Any], name: str, notes: Notes) -> str:
    for field in TEXTS:
        found = part.get(field)
        if isinstance(found, dict) and isinstance(found.get("value"), str):
            found = found["value"]  # of OpenAI's assistants
        if isinstance(found, str | list):
            return content_text(found, name, notes)
    kind = part.get("type")
    if not isinstance(kind, str):
        inline = next((part[field] for field in INLINE if field in part), None)
        kinds = [inline.get(n) for n in ("mime_type", "mimeType")] if isinstance(
            inline, dict
        ) else []  # fmt: skip
        kind = next((k for k in kinds if isinstance(k, str)), "part")
    kind = kind[:TYPE_CHARS_MAX].removeprefix("input_").removesuffix("_url")
    notes.add(name, f"a part became the placeholder [{kind}]")
    called = next((part[n] for n in NAMES if isinstance(part.get(n), str)), "")
    return f"[{kind} {called[:TYPE_CHARS_MAX]}]" if called else f"[{kind}]"
