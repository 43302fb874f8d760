"""What the formats of agents' trajectories share: steps of calls with observations."""

from collections.abc import Mapping
from itertools import islice

from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft
from sources.transcripts.messages import set_usage
from sources.transcripts.parts import call_of, plain
from sources.transcripts.turns import unread_call
from sources.transcripts.unread import keep, keep_parts, unread_parts
from sources.transcripts.usage import model_of, usage_of


def tell_calls(talk: Conversation, calls: object) -> list[Draft]:
    """Tell the calls of a step; return their events."""
    found = []
    for call in calls if isinstance(calls, list) else []:
        talk.ledger.met += 1
        if isinstance(call, dict):
            tool, arguments, call_id = call_of(call)
            found.append(talk.call(tool, arguments, call_id))
            keep(found[-1], unread_call(call))
        else:
            talk.ledger.leave_out("tool call", "is no object")
    return found


def tell_usage(talk: Conversation, step: Mapping[str, object], first: int) -> None:
    """Give the first message of a step its model and tokens."""
    model, tokens = model_of(step), usage_of(step)
    answers = [
        draft
        for draft in islice(talk.drafts, first, None)
        if draft.kind == "message" and getattr(draft.payload, "role", "") == "assistant"
    ]
    if not answers and tokens is not None:
        talk.ledger.met += 1
        answers = [talk.say("assistant", "")]
    if answers:
        set_usage(answers[0], model, tokens)


def tell_text(talk: Conversation, role: str, value: object, part: str | None) -> None:
    """Tell a text of a step, if it has one."""
    text = plain(value) if isinstance(value, list) else value
    if isinstance(text, str) and text:
        talk.ledger.met += 1
        draft = talk.say(role, text, None if part is None else {"part": part})  # type: ignore[arg-type]
        keep_parts(draft, unread_parts(value) if isinstance(value, list) else [])
