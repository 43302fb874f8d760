"""Items of OpenAI's Responses API: messages, calls, results and reasoning in a row."""

from collections.abc import Mapping
from datetime import datetime

from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft
from sources.transcripts.messages import read_message
from sources.transcripts.parts import (
    call_of,
    failed_flag,
    first,
    is_result,
    plain,
    word,
)
from sources.transcripts.turns import read_result, unread_call
from sources.transcripts.unread import keep, keep_parts, taken, unread, unread_parts

# Calls whose item also has what came of them.
_OWN_RESULTS = ("output", "outputs", "results", "result", "error")
_OWN_ARGUMENTS = ("action", "code", "queries", "query")
_CALLS = frozenset([
    "function_call", "custom_tool_call", "mcp_call", "local_shell_call",
    "web_search_call", "file_search_call", "computer_call", "code_interpreter_call",
    "image_generation_call", "shell_call", "apply_patch_call",
])  # fmt: skip
ITEM_TYPES = _CALLS | {
    "function_call_output", "custom_tool_call_output", "local_shell_call_output",
    "computer_call_output", "shell_call_output", "apply_patch_call_output", "reasoning",
}  # fmt: skip


def is_item(value: object) -> bool:
    """Whether a value is an item other than a message."""
    return (
        isinstance(value, dict) and value.get("type") in ITEM_TYPES
        and "role" not in value
    )  # fmt: skip


def read_item(
    talk: Conversation, item: Mapping[str, object], at: datetime | None = None
) -> Draft | None:
    """Tell a conversation one item; return its text's event, if it has one."""
    kind = item.get("type")
    if kind not in ITEM_TYPES:
        return read_message(talk, dict(item), at)
    talk.at_unit(at, talk.place)
    talk.ledger.met += 1
    if kind == "reasoning":
        _reasoning(talk, item)
    elif is_result(item):
        read_result(talk, item)
    else:
        _call(talk, item, str(kind))
    return None


def _reasoning(talk: Conversation, item: Mapping[str, object]) -> None:
    texts = [plain(item[n]) for n in ("summary", "content") if item.get(n)]
    text = "\n".join(text for text in texts if isinstance(text, str) and text)
    if text:
        draft = talk.say("assistant", text, {"part": "reasoning"})
        keep(draft, unread(item, ["summary", "content", "status"]))
        for name in ("summary", "content"):
            keep_parts(draft, unread_parts(item.get(name)))
    else:
        talk.ledger.leave_out("reasoning item", "has no text that can be read")


def _call(talk: Conversation, item: Mapping[str, object], kind: str) -> None:
    tool, arguments, call_id = call_of(item)
    if not word(item, "name"):
        tool = kind.removesuffix("_call")
    if arguments is None:
        arguments = first(item, _OWN_ARGUMENTS)
    draft = talk.call(tool, arguments, call_id)
    rest = unread_call(item)
    known = (taken(item, _OWN_ARGUMENTS), taken(item, _OWN_RESULTS))
    keep(draft, {n: v for n, v in rest.items() if n not in known})
    value = first(item, _OWN_RESULTS)
    failed = failed_flag(item)
    if item.get("error"):
        failed = True
    if value is not None:
        talk.finish_now(draft, plain(value), failed)
    elif kind not in ("function_call", "custom_tool_call") and failed is not None:
        talk.finish_now(draft, "", failed)
    elif kind in ("web_search_call", "file_search_call") and item.get("status"):
        talk.finish_now(draft, str(item["status"]), failed)
