"""Lines of a file on their way to Kafka."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """A message to produce and the line it comes from.

    `idempotency_key` marks it as one that may be sent again, and names its dead letter.
    `is_event` is off for a line that will become one, as far as its form says.
    """

    line: int
    key: bytes | None
    value: bytes
    idempotency_key: str
    is_event: bool = True


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line, or a record made of it, that fits into no message: number and bytes."""

    line: int
    size: int
