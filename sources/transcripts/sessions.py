"""Files in which many values belong to one session: lines that a tool appends."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b

from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Head
from sources.transcripts.format import VALUE_ERRORS, Made, Reader, Value
from sources.transcripts.imported import ImportedEvent
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options

# Sessions of one file whose calls may still get results; the oldest one is closed.
OPEN_MAX = 1_000
# Lines among which equal ones are counted: they have times, so equal ones are near.
LINES_MAX = 1_000
# Values that are put in the order of time together; a larger file has several parts.
SORTED_BYTES_MAX = 2**26
LAST = datetime.max.replace(tzinfo=UTC)


class OpenSessions:
    """The conversations of a file, by session id; they release finished events."""

    def __init__(self, options: Options, ledger: Ledger) -> None:
        self.options, self.ledger = options, ledger
        self._open: OrderedDict[str, Conversation] = OrderedDict()
        self._closed: list[tuple[str, ImportedEvent]] = []
        self._lines: OrderedDict[bytes, int] = OrderedDict()

    def get(self, session: str, make: Callable[[], Conversation]) -> Conversation:
        """Return the conversation of a session, a new one if it has none."""
        talk = self._open.get(session)
        if talk is None:
            talk = self._open[session] = make()
            if len(self._open) > OPEN_MAX:
                _, oldest = self._open.popitem(last=False)
                self._close(oldest)
        self._open.move_to_end(session)
        return talk

    def growing(self, session: str, agent: str, start: datetime | None) -> Conversation:
        """Return the conversation of a session to whose file its tool still writes.

        Args:
            session: its id.
            agent: its agent, unless the options name one.
            start: when it begins, for a new conversation.
        """
        options = self.options
        head = Head(
            agent=options.agent or agent,
            session_id=session,
            namespace=options.namespace,
            user_id=options.user,
            start=start,
        )
        make = partial(Conversation, head, options, self.ledger, grows=True)
        return self.get(session, make)

    def place(self, value: Value) -> str:
        """Return the place of a line that has no id: its digest and its occurrence.

        Not its number: a tool may remove lines from the beginning of its file.
        """
        digest = blake2b(value.raw, digest_size=16).digest()
        count = self._lines[digest] = self._lines.pop(digest, 0) + 1
        if len(self._lines) > LINES_MAX:
            self._lines.popitem(last=False)
        return f"{digest.hex()} {count}"

    def _close(self, talk: Conversation) -> None:
        session = talk.head.session_id
        self._closed += [(session, event) for event in talk.events()]

    def finished(
        self, talk: Conversation | None
    ) -> Iterator[tuple[str, ImportedEvent]]:
        """Yield the events that nothing changes any more, of one session and closed."""
        yield from self._closed
        self._closed = []
        if talk is not None:
            for event in talk.finished():
                yield talk.head.session_id, event

    def so_far(self) -> Iterator[tuple[str, ImportedEvent]]:
        """Yield all events that nothing but a result may change; more may follow."""
        yield from self.finished(None)
        for talk in self._open.values():
            for event in talk.so_far():
                yield talk.head.session_id, event

    def settle(self) -> None:
        """Settle the units of a value that was read in part; its events stay."""
        self.ledger.settle(sum(len(talk.drafts) for talk in self._open.values()))

    def end(self) -> Iterator[tuple[str, ImportedEvent]]:
        """Yield all events that are left."""
        for talk in self._open.values():
            self._close(talk)
        self._open.clear()
        yield from self.finished(None)


# Tells the session of a value what it says, and returns it; None if it is of none.
TellLine = Callable[[OpenSessions, Value], Conversation | None]


# Returns the time at which a JSON value begins.
StartOf = Callable[[object], datetime | None]


def lines_of_sessions(
    make: Callable[[], TellLine], start_of: StartOf | None = None
) -> Reader:
    """Return the reader of a format.

    Args:
        make: gives each file a state of its own.
        start_of: if values may stand in another order than that of time.
    """

    def read(
        values: Iterable[Value], options: Options, ledger: Ledger
    ) -> Iterator[Made]:
        sessions, tell, number = OpenSessions(options, ledger), make(), 0
        for value in values if start_of is None else _in_order(values, start_of):
            number, met = value.number, ledger.met
            try:
                talk = tell(sessions, value)
                ledger.leave_out_empty(met)
            except VALUE_ERRORS:
                talk = None
                sessions.settle()
                ledger.refused.append((value.number, value.raw))
            for session, event in sessions.finished(talk):
                yield number, session, event
        for session, event in sessions.end():
            yield number, session, event

    return read


def _in_order(values: Iterable[Value], start_of: StartOf) -> Iterator[Value]:
    """Yield values by their start, those without one last."""
    held: list[Value] = []
    size = 0
    for value in values:
        held.append(value)
        size += len(value.raw)
        if size > SORTED_BYTES_MAX:
            yield from sorted(held, key=lambda v: start_of(v.json) or LAST)
            held, size = [], 0
    yield from sorted(held, key=lambda v: start_of(v.json) or LAST)
