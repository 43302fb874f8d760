"""What a format of transcripts is: how to recognize it, and how to read it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sources.transcripts.imported import ImportedEvent
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options


@dataclass(frozen=True, slots=True)
class Value:
    """One JSON value of a file: its number from 1, its bytes, and what they mean."""

    number: int
    raw: bytes
    json: object


# What a reader may raise at a value that it does not understand: too deep, too large.
VALUE_ERRORS = (ValueError, OverflowError, RecursionError)

# The number of the value that an event was read from, its session, and the event.
Made = tuple[int, str, ImportedEvent]
# How the values of a file stand in it: lines or any sequence; elements of one array.
Container = Literal["values", "array"]
Reader = Callable[[Iterable[Value], Options, Ledger], Iterator[Made]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of transcripts.

    Args:
        name: for `--format`.
        title: what messages call a file of it.
        recognize: from the first values of a file, which sign they bear; None if they
            are of another format.
        read: values to events; pure.
        like: the format of which this is a special case: a file without its signs is
            read as this one if the user says so.
        reads_chats: its files have values, too, that look like `chat`'s.
    """

    name: str
    title: str
    recognize: Callable[[list[object], Container], str | None]
    read: Reader
    like: str = ""
    reads_chats: bool = False
