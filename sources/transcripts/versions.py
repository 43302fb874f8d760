"""Which version of a transcript a file has, if its earlier part was edited.

A transcript that grew, or an older copy of it, has events in common with what was
imported before, and only one of the two has more. If both have events that the other
one lacks, the transcript was edited: its events become a session of their own, so that
two versions never stand as one conversation.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from sources.transcripts.imported import ImportedEvent

# Sessions whose events of this import are remembered, about 200 bytes an event.
SESSIONS_MAX = 20_000
MARK = "~"

# The namespace, the agent and the id of a session: ids of other agents may be the same.
Key = tuple[str, str, str]
# Sessions -> the ids of the events that each of their versions has in the lake, by the
# session id of the version.
Stored = Callable[[Sequence[Key]], dict[Key, dict[str, set[str]]]]
# The session id of a version -> the events of the transcript in it.
Made = Callable[[str], list[ImportedEvent]]


@dataclass(slots=True)
class Versions:
    """Chooses the session of each transcript of an import, of all its files."""

    stored: Stored
    edited: int = 0
    _imported: OrderedDict[Key, dict[str, set[str]]] = field(
        default_factory=OrderedDict
    )

    def choose(
        self, transcripts: Sequence[tuple[Key, Made]]
    ) -> Iterator[tuple[str, list[ImportedEvent]]]:
        """Yield the session id and the events of each transcript, in order."""
        found = self.stored([key for key, _ in transcripts])
        for key, make in transcripts:
            versions: dict[str, set[str]] = {}
            for name, ids in found.get(key, {}).items():
                versions[name] = set(ids)
            for name, ids in self._imported.get(key, {}).items():
                versions.setdefault(name, set()).update(ids)
            chosen, events = self._version(key[2], make, versions)
            self._remember(key, chosen, events)
            yield chosen, events

    def _version(
        self, session: str, make: Made, versions: dict[str, set[str]]
    ) -> tuple[str, list[ImportedEvent]]:
        first = make(session)
        if _fits(first, versions.get(session, set())):
            return session, first
        for name, ids in versions.items():
            if name != session and _fits(events := make(name), ids):
                return name, events
        self.edited += 1
        content = "".join(event.id for event in first)
        name = f"{session}{MARK}{sha256(content.encode()).hexdigest()[:8]}"
        return name, make(name)

    def _remember(self, key: Key, chosen: str, events: list[ImportedEvent]) -> None:
        ids = {event.id for event in events if event.lasting}
        self._imported.setdefault(key, {}).setdefault(chosen, set()).update(ids)
        self._imported.move_to_end(key)
        if len(self._imported) > SESSIONS_MAX:
            self._imported.popitem(last=False)


def _fits(events: list[ImportedEvent], stored: set[str]) -> bool:
    """Whether a transcript continues what is stored, or is the beginning of it."""
    if not stored:
        return True
    lasting = {event.id for event in events if event.lasting}
    return stored <= lasting or lasting <= stored
