"""Files in which each value is one message: together they are one chat.

A file may also hold whole chats next to such messages; each is a session of its own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import Document, Tell, documents, read_documents
from sources.transcripts.format import VALUE_ERRORS, Made, Reader, Value
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options

# Messages that are held in memory to compare them with an earlier import; those of a
# larger file become events as they are read.
HELD_BYTES_MAX = 2**25
TOO_LARGE = "too large to be compared with an earlier import"
# How many messages without a time a larger file may have: their times are close.
MANY = 2_000_000

Line = tuple[int, bytes]
# Tells a conversation one value.
TellValue = Callable[[Conversation, object], None]

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Lines:
    """How a format writes messages that stand alone.

    Args:
        opens: whether a value is a message, so that the file has a chat of lines.
        is_document: whether a value is a whole chat.
        make: returns what tells the messages of one chat, with a state of its own.
    """

    opens: Callable[[object], bool]
    is_document: Callable[[object], bool]
    make: Callable[[], TellValue]


def documents_or_lines(tell: Tell, lines: Lines, agent: str) -> Reader:
    """Return the reader of a format whose values are chats or messages.

    Args:
        tell: reads one document.
        lines: of the values that are no document.
        agent: of a document that names none, unless the user does.
    """
    read_all = documents(tell, agent)

    def read(
        values: Iterable[Value], options: Options, ledger: Ledger
    ) -> Iterator[Made]:
        chat = _Chat(lines, agent, options, ledger)
        for is_line, run in groupby(values, chat.takes):
            if is_line:
                for value in run:
                    yield from chat.take(value)
            else:
                yield from read_all(run, options, ledger)
        yield from chat.end()

    return read


@dataclass(slots=True)
class _Chat:
    """The chat of the lines of one file: held, or read as they come."""

    lines: Lines
    agent: str
    options: Options
    ledger: Ledger
    _held: list[Line] = field(default_factory=list)
    _size: int = 0
    _talk: Conversation | None = None
    _tell: TellValue | None = None

    def takes(self, value: Value) -> bool:
        """Whether a value is a line of the chat: after the first, what is no chat."""
        if self._held or self._talk is not None:
            return not self.lines.is_document(value.json)
        return self.lines.opens(value.json)

    def take(self, value: Value) -> Iterator[Made]:
        """Add a line; yield the events that are finished, of a chat that is large."""
        if self._talk is None:
            self._held.append((value.number, value.raw))
            self._size += len(value.raw)
            if self._size <= HELD_BYTES_MAX:
                return
            yield from self._release()
        else:
            yield from self._tell_one(self._talk, value.number, value.raw, value.json)

    def _release(self) -> Iterator[Made]:
        """Tell all that is held; what follows is reported as it comes."""
        document = _LinesDocument(self._held, self.lines, self.agent, self.options)
        talk = Conversation(document.head, self.options, self.ledger)
        talk.expect(MANY)
        self._talk, self._tell = talk, self.lines.make()
        self.ledger.notes[TOO_LARGE] += 1
        held, self._held = self._held, []
        for number, raw in held:
            yield from self._tell_one(talk, number, raw, _decode(raw))

    def _tell_one(
        self, talk: Conversation, number: int, raw: bytes, json: object
    ) -> Iterator[Made]:
        assert self._tell is not None
        met = self.ledger.met
        try:
            self._tell(talk, json)
            self.ledger.leave_out_empty(met)
        except VALUE_ERRORS:
            self.ledger.settle(len(talk.drafts))
            self.ledger.refused.append((number, raw))
        for event in talk.finished():
            yield number, talk.head.session_id, event

    def end(self) -> Iterator[Made]:
        """Yield all events that are left."""
        if self._held:
            found = _LinesDocument(self._held, self.lines, self.agent, self.options)
            yield from read_documents([found], self.options, self.ledger)
        elif self._talk is not None:
            for event in self._talk.events():
                yield 0, self._talk.head.session_id, event


class _LinesDocument(Document):
    """The lines of a chat as one document: a hostile one is refused alone."""

    def __init__(
        self, held: list[Line], lines: Lines, agent: str, options: Options
    ) -> None:
        # The first message is there from the beginning, so the id stays.
        number, raw = held[0]
        super().__init__(Value(number, raw, {}), lambda *_: (), agent, options)
        self._lines, self._make = held, lines.make

    def events(self, ledger: Ledger, session: str | None = None) -> Iterator[Made]:
        """Yield the events in the document's own session, or in another one."""
        own = Ledger()
        talk = Conversation(self.head_in(session), self.options, own)
        tell = self._make()
        for number, raw in self._lines:
            met = own.met
            try:
                tell(talk, _decode(raw))
                own.leave_out_empty(met)
            except VALUE_ERRORS:
                own.settle(len(talk.drafts))
                own.refused.append((number, raw))
        made = talk.events()
        ledger.add(own)
        ledger.refused += own.refused
        for event in made:
            yield self.value.number, talk.head.session_id, event
