"""Verdicts -> rows of `dead_letters`."""

import uuid
from collections.abc import Sequence

import msgspec
import pyarrow as pa

from operators.decoding.verdict import Verdict
from schemas.arrow import DECODED_DEAD_LETTERS
from semloop import tables

# Dead letters are named by where their record stands, so a replay names them alike.
NAMESPACE = uuid.UUID("6f0c7c3e-5b1e-4f0e-9a53-0d6b4f7a1c11")


NONE = pa.RecordBatch.from_pylist([], DECODED_DEAD_LETTERS)


def bury(
    records: pa.RecordBatch, verdicts: Sequence[tuple[int, Verdict]]
) -> pa.RecordBatch:
    """The dead letters of a poll.

    Args:
        records: the poll, as `schemas.arrow.RECORDS`.
        verdicts: (row, verdict) of each bad record, by row.

    Returns:
        one row per verdict, as `DECODED_DEAD_LETTERS`.
    """
    if not verdicts:
        return NONE
    bad = records.take(pa.array([row for row, _ in verdicts], pa.int32()))
    values = bad["value"].to_pylist()
    # What is too large was not redacted, so nothing of it may be kept.
    names = [
        _names(raw) if verdict.keep_raw else (None, None, None)
        for raw, (_, verdict) in zip(values, verdicts, strict=True)
    ]
    columns = {name: bad[name] for name in tables.ORIGIN}
    columns |= {"key": bad["key"], "headers": bad["headers"]}
    columns |= {
        "id": _ids(bad),
        "reason": [str(verdict.reason) for _, verdict in verdicts],
        "detail": [verdict.detail for _, verdict in verdicts],
        "agent": [agent for agent, _, _ in names],
        "session_id": [session for _, session, _ in names],
        "user_id": [user for _, _, user in names],
        "raw": [
            raw if verdict.keep_raw else None
            for raw, (_, verdict) in zip(values, verdicts, strict=True)
        ],
    }
    arrays = [
        column if isinstance(column := columns[field.name], pa.Array)
        else pa.array(column, field.type)
        for field in DECODED_DEAD_LETTERS
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(arrays, schema=DECODED_DEAD_LETTERS)


def _ids(bad: pa.RecordBatch) -> list[str]:
    """A record that may be sent again carries its id; others are named by origin."""
    origin = ("topic_id", "kafka_partition", "kafka_offset")
    rows = zip(
        *(bad[name].to_pylist() for name in (*origin, "idempotency_key")), strict=True
    )
    return [
        once or str(uuid.uuid5(NAMESPACE, f"{topic_id}/{partition}/{offset}"))
        for topic_id, partition, offset, once in rows
    ]


def _names(raw: bytes) -> tuple[str | None, str | None, str | None]:
    """Agent, session and user, where they can be read."""
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None, None, None
    if not isinstance(record, dict):
        return None, None, None
    meta = record.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    found = (record.get("agent"), meta.get("session_id"), meta.get("user_id"))
    agent, session, user = (v if isinstance(v, str) else None for v in found)
    return agent, session, user
