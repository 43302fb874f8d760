"""Which version of a transcript a file has, if its earlier part was edited.

A transcript that grew, or an older copy of it, has events in common with what was
imported before, and only one of the two has more. If both have events that the other
one lacks, the transcript was edited: its events become a session of their own, so that
two versions never stand as one conversation.

Ids depend on the tokens, the model and the status, too, which may change although no
text was edited. So events that only one of the two has are compared by their texts.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import md5, sha256

import msgspec

from sources.transcripts.imported import ImportedEvent

# Sessions whose events of this import are remembered, about 200 bytes an event.
SESSIONS_MAX = 20_000
MARK = "~"
# Fields of a payload that are compared, in their order.
TEXTS = ("role", "content", "tool", "arguments", "result")

# The namespace, the agent and the id of a session: ids of other agents may be the same.
Key = tuple[str, str, str]
# The ids of events in their order, each with the MD5 of its text as the lake has it,
# which is empty if it is unknown.
Events = dict[str, str]
# Sessions -> the events that each of their versions has in the lake, by the session id
# of the version.
Stored = Callable[[Sequence[Key]], dict[Key, dict[str, Events]]]
# Texts -> how the lake may have each of them, with private parts replaced.
AsStored = Callable[[Sequence[str]], list[set[str]]]
# The session id of a version -> the events of the transcript in it.
Made = Callable[[str], list[ImportedEvent]]


@dataclass(slots=True)
class Versions:
    """Chooses the session of each transcript of an import, of all its files."""

    stored: Stored
    as_stored: AsStored = lambda texts: [{text} for text in texts]
    edited: int = 0
    _imported: OrderedDict[Key, dict[str, Events]] = field(default_factory=OrderedDict)

    def choose(
        self, transcripts: Sequence[tuple[Key, Made]]
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the session id of each transcript, in order.

        And the ids that earlier imports gave to events which have others now.
        """
        found = self.stored([key for key, _ in transcripts])
        for key, make in transcripts:
            versions: dict[str, Events] = {}
            for name, ids in found.get(key, {}).items():
                versions[name] = dict(ids)
            for name, ids in self._imported.get(key, {}).items():
                versions[name] = ids | versions.get(name, {})
            chosen, events, names = self._version(key[2], make, versions)
            self._remember(key, chosen, events, names)
            yield chosen, names

    def _version(
        self, session: str, make: Made, versions: dict[str, Events]
    ) -> tuple[str, list[ImportedEvent], dict[str, str]]:
        first = make(session)
        if _fits(first, versions.get(session, {})):
            return session, first, {}
        for name, ids in versions.items():
            if name != session and _fits(events := make(name), ids):
                return name, events, {}
        for name, ids in versions.items():
            events = make(name)
            if (names := self._same_texts(events, ids)) is not None:
                return name, events, names
        self.edited += 1
        content = "".join(event.id for event in first)
        name = f"{session}{MARK}{sha256(content.encode()).hexdigest()[:8]}"
        return name, make(name), {}

    def _same_texts(
        self, events: list[ImportedEvent], stored: Events
    ) -> dict[str, str] | None:
        """Return the stored ids of events whose ids differ; None if a text does."""
        lasting = {event.id: event for event in events if event.lasting}
        new = [event for own, event in lasting.items() if own not in stored]
        gone = [own for own in stored if own not in lasting]
        pairs = list(zip(new, gone, strict=False))
        texts = self.as_stored([text_of(event) for event, _ in pairs])
        for (_, own), known in zip(pairs, texts, strict=True):
            if stored[own] not in {_digest(text) for text in known}:
                return None
        return {event.id: own for event, own in pairs}

    def _remember(
        self,
        key: Key,
        chosen: str,
        events: list[ImportedEvent],
        names: dict[str, str],
    ) -> None:
        ids = dict.fromkeys((names.get(e.id, e.id) for e in events if e.lasting), "")
        self._imported.setdefault(key, {}).setdefault(chosen, {}).update(ids)
        self._imported.move_to_end(key)
        if len(self._imported) > SESSIONS_MAX:
            self._imported.popitem(last=False)


def text_of(event: ImportedEvent) -> str:
    """Return what a person may edit of a message or a call."""
    payload = msgspec.json.decode(event.value)["payload"]
    found = [payload.get(name) for name in TEXTS]
    return "\n".join(
        value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for value in found
        if value is not None
    )


def _digest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _fits(events: list[ImportedEvent], stored: Events) -> bool:
    """Whether a transcript continues what is stored, or is the beginning of it."""
    if not stored:
        return True
    lasting = {event.id for event in events if event.lasting}
    return stored.keys() <= lasting or lasting <= stored.keys()
