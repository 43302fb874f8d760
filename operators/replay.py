"""Makes records of dead letters, to be produced again.

Pure functions: `semloop dlq replay` selects the dead letters and produces the records.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from operators.decoding.decode import decode
from schemas.arrow import RECORDS
from schemas.batches import Polled, Progress
from schemas.lines import Record
from schemas.replay import (
    ATTEMPT_HEADER,
    LETTER_HEADER,
    ORIGIN_HEADER,
    Mark,
    origin_text,
)
from semloop.event import IDEMPOTENCY_HEADER, SCHEMA_HEADER
from semloop.event_keys import event_keys

# Namespace of the ids of events, and of attempts, that derive from a dead letter.
NAMESPACE = uuid.UUID("0c8f5f0e-3d0b-4c55-9d4f-6f6f5d1f2a77")
OWN_HEADERS = frozenset(
    {IDEMPOTENCY_HEADER, LETTER_HEADER, ORIGIN_HEADER, ATTEMPT_HEADER}
)
# Headers as `dead_letters` has them.
decode_pairs = msgspec.json.Decoder(list[tuple[str, str | None]]).decode
Transform = Callable[[Any], Any]
"""Gets a parsed record, or its bytes if it does not parse; returns the repaired one, as
an object or bytes, or None to leave it out."""


class Letter(NamedTuple):
    """A dead letter to replay; `attempts`: number of replays before."""

    id: str
    topic_id: str
    partition: int
    offset: int
    key: bytes | None
    headers: str | None
    raw: bytes
    attempts: int

    @property
    def origin(self) -> str:
        """Its place in Kafka, as text."""
        return origin_text(self.topic_id, self.partition, self.offset)

    def next_mark(self) -> Mark:
        """Return the mark of its next replay."""
        return Mark(self.id, self.origin, self.attempts + 1)


class TransformFailed(Exception):
    """A transform raised, or returned what is no record; the text has no content."""


def repaired(letter: Letter, transform: Transform | None) -> bytes | None:
    """Return the record to produce; None if the transform leaves it out.

    A repaired object without an id gets one that derives from the dead letter, so that
    the same replay, run again, makes the same event.

    Raises:
        TransformFailed: the transform raised, or returned something else.
    """
    if transform is None:
        return letter.raw
    try:
        found = transform(_parsed(letter.raw))
    except (Exception, SystemExit) as error:
        msg = f"transform raised {type(error).__name__}"
        raise TransformFailed(msg) from error
    if found is None or (isinstance(found, bytes) and found):
        return found
    if found == b"":
        # To Kafka that is a deletion: it would become nothing.
        msg = "transform returned no content"
        raise TransformFailed(msg)
    if not isinstance(found, dict):
        msg = f"transform returned {type(found).__name__}, not a dict, bytes or None"
        raise TransformFailed(msg)
    if found.get("id") is None:
        found = {**found, "id": str(uuid.uuid5(NAMESPACE, letter.id))}
    try:
        return msgspec.json.encode(found)
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        msg = f"transform returned what is not JSON ({type(error).__name__})"
        raise TransformFailed(msg) from error


def to_record(letter: Letter, value: bytes, line: int = 0) -> Record:
    """Return a record with the key and the headers of the original, and the mark.

    The header with the version of the schema is left out if the value was changed.
    """
    mark = letter.next_mark()
    left_out = OWN_HEADERS | ({SCHEMA_HEADER} if value != letter.raw else set())
    pairs = decode_pairs(letter.headers or "[]")
    original = [
        (name, None if text is None else text.encode())
        for name, text in pairs
        if name not in left_out
    ]
    attempt = f"{letter.id}/{letter.origin}/{mark.attempt}"
    return Record(
        line=line,
        key=letter.key,
        value=value,
        idempotency_key=str(uuid.uuid5(NAMESPACE, attempt)),
        headers=(*original, *mark.headers()),
    )


class Verdict(NamedTuple):
    """What a record would become: a dead letter of this reason, or this event."""

    reason: str | None
    event_key: str | None


def verdicts(records: Sequence[Record], now: datetime, bytes_max: int) -> list[Verdict]:
    """Return what each record would become now.

    Args:
        records: from `to_record`.
        now: the present time.
        bytes_max: as in `operators.decoding.decode`.
    """
    count = len(records)
    versions = [dict(record.headers).get(SCHEMA_HEADER) for record in records]
    columns: dict[str, Sequence[Any]] = {
        "kafka_partition": [0] * count,
        "kafka_offset": range(count),
        "kafka_ts": [now] * count,
        "key": [record.key for record in records],
        "value": [record.value for record in records],
        "schema_version": [
            version and version.decode("utf-8", "backslashreplace")
            for version in versions
        ],
    }
    arrays = [pa.array(columns.get(f.name, [None] * count), f.type) for f in RECORDS]
    batch = pa.RecordBatch.from_arrays(arrays, schema=RECORDS)
    decoded = decode(Polled(batch, Progress()), now, bytes_max)
    letters, events = decoded.dead_letters, decoded.events
    found = [Verdict(None, None)] * count
    for row, reason in zip(
        *(letters[name].to_pylist() for name in ("kafka_offset", "reason")), strict=True
    ):
        found[row] = Verdict(reason, None)
    keys = event_keys(events)
    for row, key in zip(events["kafka_offset"].to_pylist(), keys, strict=True):
        found[row] = Verdict(None, key)
    return found


def _parsed(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return raw
