"""Texts that a rollout of Codex reports twice: as an event, and as a response item.

The event may come before its item or after it, and some have none. So an event becomes
a message immediately, which its item replaces.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from semloop.event import Message
from semloop.texts.roles import Role
from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft
from sources.transcripts.unread import keep, unread

# Events with a text: the field that has it, its role, and its part.
EVENT_TEXTS: dict[str, tuple[str, Role, str | None]] = {
    "agent_message": ("message", "assistant", None),
    "user_message": ("message", "user", None),
    "agent_reasoning": ("text", "assistant", "reasoning"),
    "agent_reasoning_raw_content": ("text", "assistant", "reasoning"),
}
# Texts that still wait for the other one; it is one of the next lines.
WAITING_MAX = 64
REPORTED = "is reported by its response item"


class Texts:
    """The latest texts of the events and of the items of one rollout."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, tuple[str, Draft]] = OrderedDict()
        self._items: OrderedDict[str, int] = OrderedDict()

    def event(
        self, talk: Conversation, kind: str, payload: Mapping[str, object]
    ) -> None:
        """Report an event, unless its item was before it; its unit is met."""
        name, role, part = EVENT_TEXTS[kind]
        text = payload.get(name)
        if not isinstance(text, str) or not text.strip():
            talk.ledger.leave_out(f"{kind} line", "is empty")
            return
        key = text.strip()
        if self._items.get(key, 0):
            self._items[key] -= 1
            talk.ledger.leave_out(f"{kind} line", REPORTED)
            return
        draft = talk.say(role, text, None if part is None else {"part": part})
        keep(draft, {"event": kind, **unread(payload, [name])})
        draft.apart = True
        self._events[key] = (kind, draft)
        if len(self._events) > WAITING_MAX:
            self._events.popitem(last=False)

    def item(self, talk: Conversation, item: Mapping[str, object]) -> dict[str, str]:
        """Take back the events that an item reports; return their texts and places.

        An event that was sent already has the id that its item gets with this place.
        """
        places: dict[str, str] = {}
        for text in _texts_of(item):
            kind, draft = self._events.pop(text, ("", None))
            if draft is not None:
                if talk.take_back(draft):
                    talk.ledger.leave_out(f"{kind} line", REPORTED)
                places[text] = draft.place or ""
                continue
            self._items[text] = self._items.pop(text, 0) + 1
            if len(self._items) > WAITING_MAX:
                self._items.popitem(last=False)
        return places


def keep_places(drafts: Iterable[Draft], places: Mapping[str, str]) -> None:
    """Give the messages of an item the places of the events with their texts."""
    for draft in drafts:
        if isinstance(draft.payload, Message):
            draft.place = places.get(draft.payload.content.strip(), draft.place)


def _texts_of(item: Mapping[str, object]) -> Iterator[str]:
    """Yield the texts of an item: of each part, and of all parts together."""
    for name in ("content", "summary"):
        value = item.get(name)
        parts = value if isinstance(value, list) else [value]
        texts = [p.get("text") if isinstance(p, dict) else p for p in parts]
        found = [text for text in texts if isinstance(text, str) and text.strip()]
        yield from (text.strip() for text in found)
        if len(found) > 1:
            yield "\n".join(found).strip()
