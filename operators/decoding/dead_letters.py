"""Converts rejections to rows of `dead_letters`."""

import uuid
from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa

from operators.decoding.validation import Rejection
from schemas.arrow import DECODED_DEAD_LETTERS
from schemas.replay import decode_mark
from semloop import tables
from semloop.event import ID_CHARS_MAX, NAME_CHARS_MAX

# Namespace of ids derived from a record's origin, which are equal when it is re-read.
NAMESPACE = uuid.UUID("6f0c7c3e-5b1e-4f0e-9a53-0d6b4f7a1c11")
# The end of a name that was too long.
CUT = "…"

NO_DEAD_LETTERS = pa.RecordBatch.from_pylist([], DECODED_DEAD_LETTERS)


def to_dead_letters(
    records: pa.RecordBatch,
    rejected: Sequence[tuple[int, Rejection]],
    whole: Mapping[int, bytes] = {},
) -> pa.RecordBatch:
    """Return the dead letters of a poll.

    Args:
        records: the poll, as `schemas.arrow.RECORDS`.
        rejected: (row, rejection) of each rejected record, by row.
        whole: values to store instead of those of these rows.

    Returns:
        one row per rejection, as `DECODED_DEAD_LETTERS`.
    """
    if not rejected:
        return NO_DEAD_LETTERS
    bad = records.take(pa.array([row for row, _ in rejected], pa.int32()))
    values = [
        whole.get(row, value)
        for (row, _), value in zip(rejected, bad["value"].to_pylist(), strict=True)
    ]
    # A record that is too large was not redacted, so none of its content is stored.
    names = [
        _names(raw) if rejection.keep_raw else (None, None, None)
        for raw, (_, rejection) in zip(values, rejected, strict=True)
    ]
    marks = [text and decode_mark(text) for text in bad["replay"].to_pylist()]
    columns = {name: bad[name] for name in tables.ORIGIN}
    columns |= {"key": bad["key"], "headers": bad["headers"]}
    columns |= {
        "id": _ids(bad),
        "reason": [str(rejection.reason) for _, rejection in rejected],
        "detail": [rejection.detail for _, rejection in rejected],
        "replay_of": [mark and mark.letter for mark in marks],
        "replay_origin": [mark and mark.origin for mark in marks],
        "attempt": [mark and mark.attempt for mark in marks],
        "agent": [agent for agent, _, _ in names],
        "session_id": [session for _, session, _ in names],
        "user_id": [user for _, _, user in names],
        "raw": [
            raw if rejection.keep_raw else None
            for raw, (_, rejection) in zip(values, rejected, strict=True)
        ],
    }
    arrays = [
        column if isinstance(column := columns[field.name], pa.Array)
        else pa.array(column, field.type)
        for field in DECODED_DEAD_LETTERS
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(arrays, schema=DECODED_DEAD_LETTERS)


def _ids(bad: pa.RecordBatch) -> list[str]:
    """Return the idempotency key of each record, or else an id of its origin."""
    origin = ("topic_id", "kafka_partition", "kafka_offset")
    rows = zip(
        *(bad[name].to_pylist() for name in (*origin, "idempotency_key")), strict=True
    )
    return [
        key or str(uuid.uuid5(NAMESPACE, f"{topic_id}/{partition}/{offset}"))
        for topic_id, partition, offset, key in rows
    ]


def _names(raw: bytes) -> tuple[str | None, str | None, str | None]:
    """Return agent, session and user, None where they cannot be read.

    A name that is longer than an event may have is cut; `raw` has all of it.
    """
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None, None, None
    if not isinstance(record, dict):
        return None, None, None
    meta = record.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    return (
        _bounded(record.get("agent"), NAME_CHARS_MAX),
        _bounded(meta.get("session_id"), ID_CHARS_MAX),
        _bounded(meta.get("user_id"), ID_CHARS_MAX),
    )


def _bounded(name: object, chars_max: int) -> str | None:
    if not isinstance(name, str):
        return None
    return name if len(name) <= chars_max else name[: chars_max - len(CUT)] + CUT
