"""Validates one record: an event, or the reason why it is a dead letter.

Only polls with unusual records take this path, so clarity is preferred to speed. The
`detail` of a rejection names the field, what it got and what is allowed; it never
contains free text of the record (`semloop/field_errors.py`).
"""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from operators.decoding.times import AFTER_ARRIVAL, TOO_EARLY
from schemas.dead_letter import Reason
from semloop.event import (
    PAYLOADS,
    Envelope,
    Meta,
    Payload,
    decode_envelope,
    decode_payload,
    decode_strict,
)
from semloop.field_errors import Kind, explain

DEPTH_MAX = 64
# Years that fit int64 microseconds with any UTC offset; column checks are exact.
YEARS = range(1999, 9999)

Validated = tuple[Envelope, Payload, str | None]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is a dead letter; `keep_raw` is False if it is too large."""

    reason: Reason
    detail: str = ""
    keep_raw: bool = True


_REASONS = {
    Kind.MISSING: Reason.MISSING_FIELD,
    Kind.TYPE: Reason.WRONG_TYPE,
    Kind.NUMBER: Reason.NAN_OR_INFINITY,
    Kind.VALUE: Reason.INVALID_VALUE,
}
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def validate(value: bytes, size: int, bytes_max: int) -> Validated | Rejection:
    """Decode one record, or return the reason why it is not an event.

    `size` is the number of bytes that were produced, before redaction.
    """
    if size > bytes_max:
        detail = f"{size} bytes, at most {bytes_max} are allowed; "
        detail += f"sha256:{sha256(value).hexdigest()}"
        return Rejection(Reason.TOO_LARGE, detail, keep_raw=False)
    if too_deep(value):
        return Rejection(Reason.TOO_DEEP, f"expected at most {DEPTH_MAX} levels")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as exc:
        return Rejection(Reason.INVALID_UTF8, f"byte {exc.start}")
    try:
        envelope, extra = _envelope(value)
    except msgspec.ValidationError as exc:
        return _invalid(exc, Envelope)
    except (msgspec.DecodeError, RecursionError):
        return _malformed(value)
    try:
        payload = decode_payload[envelope.type](envelope.payload)
    except msgspec.ValidationError as exc:
        return _invalid(exc, PAYLOADS[envelope.type], "payload")
    except (msgspec.DecodeError, RecursionError):
        return _malformed(value)
    if envelope.timestamp.year not in YEARS:
        is_early = envelope.timestamp.year < YEARS.start
        detail = TOO_EARLY if is_early else AFTER_ARRIVAL
        return Rejection(Reason.TIMESTAMP_OUT_OF_RANGE, detail)
    return envelope, payload, extra


def too_deep(value: bytes) -> bool:
    """Return whether a record has over `DEPTH_MAX` levels, in linear time."""
    if value.count(b"{") + value.count(b"[") <= DEPTH_MAX:
        return False
    depth = 0
    for byte in _STRING.sub(b"", value):
        if byte in b"{[":
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif byte in b"}]":
            depth -= 1
    return False


def _envelope(value: bytes) -> tuple[Envelope, str | None]:
    try:
        return decode_strict(value), None
    except msgspec.ValidationError as exc:
        if not str(exc).startswith("Object contains unknown field"):
            raise
    return decode_envelope(value), _extra(value)


def _extra(value: bytes) -> str:
    """Return the unknown fields of the envelope and of `meta` as a JSON object."""
    fields: dict[str, Any] = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    meta = msgspec.json.decode(fields["meta"], type=dict[str, msgspec.Raw])
    known = Envelope.__struct_fields__
    extra: dict[str, Any] = {k: v for k, v in fields.items() if k not in known}
    unknown_meta = {k: v for k, v in meta.items() if k not in Meta.__struct_fields__}
    if unknown_meta:
        extra["meta"] = unknown_meta
    return msgspec.json.encode(extra).decode()


def _invalid(
    error: msgspec.ValidationError, struct: type[msgspec.Struct], prefix: str = ""
) -> Rejection:
    problem = explain(error, struct, prefix)
    if not problem.path:
        return Rejection(Reason.NOT_AN_OBJECT, "expected an object")
    if problem.path == "type" and problem.kind is Kind.VALUE:
        return Rejection(Reason.UNKNOWN_TYPE, problem.text)
    return Rejection(_REASONS[problem.kind], problem.text)


def _malformed(value: bytes) -> Rejection:
    """Return the reason why JSON is invalid, from Python's lenient parser."""
    constants: list[str] = []

    def constant(name: str) -> None:
        constants.append(name)

    try:
        # Recursion is bounded: `too_deep` was checked before.
        json.loads(value.decode("utf-8"), parse_constant=constant)
    except (json.JSONDecodeError, RecursionError):
        return Rejection(Reason.NOT_JSON, "expected one JSON object")
    if constants:
        return Rejection(Reason.NAN_OR_INFINITY, "expected a finite number")
    if _SURROGATE.search(value):
        return Rejection(Reason.LONE_SURROGATE, "expected a surrogate pair")
    return Rejection(Reason.NOT_JSON, "expected one JSON object")
