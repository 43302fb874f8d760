"""Replays of dead letters: the mark of a record, and the actions that are stored.

A replayed record names its dead letter in headers. The mark survives redaction, since
the source reads it before that.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, Self

import msgspec

LETTER_HEADER = "semloop.dlq.id"
ORIGIN_HEADER = "semloop.dlq.origin"
ATTEMPT_HEADER = "semloop.dlq.attempt"
# Of id, origin and attempt. A mark is stored as it is, so other values are ignored: a
# producer may set any, private ones too. The id of a topic is Base64 of 16 bytes.
_FORMS = (
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"[A-Za-z0-9_+/-]{1,22}(==)?/[0-9]{1,9}/[0-9]{1,19}",
    r"[1-9][0-9]{0,8}",
)


class Mark(NamedTuple):
    """Which dead letter a record was made of, and the number of the attempt, from 1.

    `origin`: of the dead letter, as `origin_text` returns it. An id alone could be that
    of another lake.
    """

    letter: str
    origin: str
    attempt: int

    @classmethod
    def of(cls, headers: Mapping[str, str | None]) -> Self | None:
        """Return the mark that headers contain; None without a valid one."""
        if LETTER_HEADER not in headers:  # as almost always
            return None
        names = (LETTER_HEADER, ORIGIN_HEADER, ATTEMPT_HEADER)
        values = [headers.get(name) or "" for name in names]
        if not all(map(re.fullmatch, _FORMS, values)):
            return None
        letter, origin, attempt = values
        return cls(letter, origin, int(attempt))

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers of a record with this mark."""
        return [
            (LETTER_HEADER, self.letter.encode()),
            (ORIGIN_HEADER, self.origin.encode()),
            (ATTEMPT_HEADER, str(self.attempt).encode()),
        ]

    def text(self) -> str:
        """Return the mark as a value of the column `replay`."""
        return msgspec.json.encode(self).decode()


# The opposite of `Mark.text`.
decode_mark = msgspec.json.Decoder(Mark).decode


def origin_text(topic_id: str, partition: int, offset: int) -> str:
    """Return the place of a record in Kafka as text."""
    return f"{topic_id}/{partition}/{offset}"


class Replayed(NamedTuple):
    """A record with a mark that is an event, whether it is new or repeated.

    `partition` and `offset`: its own place.
    """

    mark: Mark
    partition: int
    offset: int
    event_id: str


class ActionKind(StrEnum):
    """What was done with a dead letter."""

    REPLAYED = "replayed"
    """`semloop dlq replay` has produced it again."""
    RESOLVED = "resolved"
    """`archive` has stored it as an event, or a person needs it no more."""
    PARKED = "parked"
    """It is not replayed until a person asks for it: by a person, or by `archive` after
    `dead_letter_attempts_max` attempts."""


class Action(NamedTuple):
    """One row of `dead_letter_actions`, without its time.

    `attempt`: the attempt that it belongs to; 0 before the first. `record`: origin of
    the record that `archive` has made the event `event_id` of.
    """

    letter: str
    origin: str
    action: ActionKind
    attempt: int
    event_id: str | None = None
    record: str | None = None
    note: str | None = None
