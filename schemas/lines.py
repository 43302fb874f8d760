"""Lines of an imported file, as records to produce."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """A record to produce and the line it was read from.

    `idempotency_key` marks a record that may be sent more than once, and becomes the id
    of its dead letter. `is_event` is False if the line will become a dead letter, as
    far as its syntax shows. `headers`: all but that of the key.
    """

    line: int
    key: bytes | None
    value: bytes
    idempotency_key: str
    is_event: bool = True
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line that is too large for a Kafka message, itself or as record."""

    line: int
    size: int
