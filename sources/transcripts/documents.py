"""Files in which each JSON value is a whole transcript: one session each."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

from semloop.event import DEFAULT_NAMESPACE, ID_CHARS_MAX, NAME_CHARS_MAX
from semloop.texts.times import NAMES, time_in, time_of
from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Head
from sources.transcripts.format import VALUE_ERRORS, Made, Reader, Value
from sources.transcripts.imported import ImportedEvent
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.outcomes import OUTCOME_FIELDS, tell_outcome
from sources.transcripts.parts import word
from sources.transcripts.unread import leave_out, unread
from sources.transcripts.versions import Key

# Documents that are looked up together; their bytes bound the memory.
BATCH_DOCUMENTS, BATCH_BYTES = 2_000, 2**25
# What a note calls transcripts of which another version was imported.
EDITED = "edited since an earlier import: the new version is a session of its own"
# Names of the session's id, in the order of preference.
SESSION_IDS = (
    "id", "session_id", "sessionId", "conversation_id", "conversationId", "thread_id",
    "threadId", "chat_id", "chatId", "trajectory_id", "instance_id", "uuid",
)  # fmt: skip
AGENTS = ("agent", "agent_name", "agentName")
USERS = ("user_id", "userId")

# Tells a conversation what a document says, and returns the names of the fields that
# it has read.
Tell = Callable[[Conversation, dict[str, object]], Iterable[str]]


# Returns the fields of a document that say what all events have in common.
HeadFields = Callable[[dict[str, object]], dict[str, object]]


def documents(
    tell: Tell, agent: str, head_fields: HeadFields = lambda document: document
) -> Reader:
    """Return the reader of a format that has one session in each value.

    Args:
        tell: reads one document.
        agent: of a document that names none, unless the user does.
        head_fields: of a format that has them elsewhere.
    """

    def read(
        values: Iterable[Value], options: Options, ledger: Ledger
    ) -> Iterator[Made]:
        found = (Document(v, tell, agent, options, head_fields) for v in values)
        return read_documents(found, options, ledger)

    return read


def read_documents(
    found: Iterable["Document"], options: Options, ledger: Ledger
) -> Iterator[Made]:
    """Yield the events of documents, some at a time to look up their versions."""
    versions = options.versions
    if versions is None:
        for document in found:
            yield from document.events(ledger)
        return
    before, iterator = versions.edited, iter(found)
    while batch := _batch(iterator):
        readable = [d for d in batch if d.fields is not None]
        for document in batch:
            if document.fields is None:
                yield from document.events(ledger)
        chosen = versions.choose([(d.key, d.version) for d in readable])
        for document, (session, names) in zip(readable, chosen, strict=True):
            for number, name, event in document.events(ledger, session):
                own = names.get(event.id)
                yield number, name, event if own is None else event.named(own)
    if versions.edited > before:
        ledger.notes[EDITED] += versions.edited - before


def _batch(iterator: Iterator["Document"]) -> list["Document"]:
    batch, size = [], 0
    for document in iterator:
        batch.append(document)
        size += len(document.value.raw)
        if len(batch) >= BATCH_DOCUMENTS or size >= BATCH_BYTES:
            break
    return batch


class Document:
    """One document, which can be reported to conversations of different names."""

    def __init__(
        self,
        value: Value,
        tell: Tell,
        agent: str,
        options: Options,
        head_fields: HeadFields = lambda document: document,
    ) -> None:
        self.value, self._tell, self.options = value, tell, options
        found = value.json
        if isinstance(found, list):
            found = {"messages": found}
        self.fields = found if isinstance(found, dict) else None
        self.head = head_of(head_fields(self.fields or {}), value.raw, options, agent)

    @property
    def key(self) -> Key:
        """What distinguishes the session from those of other agents."""
        namespace = self.head.namespace
        given = DEFAULT_NAMESPACE if namespace is None else namespace
        return given, self.head.agent, self.head.session_id

    def head_in(self, session: str | None) -> Head:
        """Return the head in a session of this name; None is the document's own."""
        return replace(self.head, session_id=session) if session else self.head

    def version(self, session: str) -> list[ImportedEvent]:
        """Return the events in a session of this name; the ledger of it is dropped."""
        return [event for _, _, event in self.events(Ledger(), session)]

    def events(self, ledger: Ledger, session: str | None = None) -> Iterator[Made]:
        """Yield the events in the document's own session, or in another one.

        A document that cannot be understood becomes a dead letter.
        """
        own = Ledger()
        try:
            made = list(self._events(own, session))
        except VALUE_ERRORS:
            ledger.refused.append((self.value.number, self.value.raw))
            return
        ledger.add(own)
        yield from made

    def _events(self, ledger: Ledger, session: str | None) -> Iterator[Made]:
        if self.fields is None:
            ledger.met += 1
            ledger.leave_out("value", "is no object")
            return
        head = self.head_in(session)
        talk = Conversation(head, self.options, ledger)
        known = frozenset(self._tell(talk, self.fields))
        tell_outcome(talk, self.fields)
        leave_out_fields(ledger, self.fields, known)
        ledger.leave_out_empty(0)
        for event in talk.events():
            yield self.value.number, head.session_id, event


def head_of(
    document: Mapping[str, object], raw: bytes, options: Options, agent: str
) -> Head:
    """Return what all events of a document have in common."""
    session = word(document, *SESSION_IDS)
    if session is None:
        session = f"chat-{sha256(raw).hexdigest()[:16]}"
    namespace = document.get("namespace")
    task, tags = document.get("task"), document.get("tags")
    given = next(
        (v for n in AGENTS if isinstance(v := document.get(n), str) and v), None
    )
    words = (
        [t[:NAME_CHARS_MAX] for t in tags if isinstance(t, str)]
        if isinstance(tags, list)
        else []
    )
    return Head(
        agent=(given or options.agent or agent)[:NAME_CHARS_MAX],
        session_id=session_id(session),
        namespace=namespace if isinstance(namespace, str) else options.namespace,
        user_id=next(
            (v for n in USERS if isinstance(v := document.get(n), str)), options.user
        ),
        task=task if isinstance(task, str) else None,
        tags=words
        if words and isinstance(tags, list) and len(words) == len(tags)
        else None,
        start=time_in(document),
    )


def session_id(given: str) -> str:
    """Return a session id that is within the bounds of an event."""
    if len(given) <= ID_CHARS_MAX:
        return given
    return f"{given[:200]}-{sha256(given.encode('utf-8', 'replace')).hexdigest()[:16]}"


def leave_out_fields(
    ledger: Ledger,
    document: Mapping[str, object],
    known: Iterable[str],
    kind: str = "transcript",
) -> None:
    """Count the fields of a document that no event has, if they may hold text."""
    names = {*known, *OUTCOME_FIELDS, "namespace"}
    # Of several ids, agents, users and times the events have the first one.
    for of_head in (SESSION_IDS, AGENTS, USERS):
        names.add(next((n for n in of_head if isinstance(document.get(n), str)), ""))
    names.add(next((n for n in NAMES if time_of(document.get(n)) is not None), ""))
    tags, words = document.get("tags"), document.get("task")
    names |= {"task"} if isinstance(words, str) else set()
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        names.add("tags")
    rest = unread(document, names)
    texts = {n: v for n, v in rest.items() if not isinstance(v, (int, float))}
    leave_out(ledger, texts, kind)
