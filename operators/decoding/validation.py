"""Validates one record: an event, or the reason why it is a dead letter.

Only polls with unusual records take this path, so clarity is preferred to speed. The
`detail` of a rejection contains paths and expectations, never content of the record:
some messages of msgspec quote values, so only their known parts are used.
"""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from schemas.dead_letter import Reason
from semloop.event import (
    EVENT_TYPES,
    Envelope,
    Meta,
    Payload,
    decode_envelope,
    decode_payload,
    decode_strict,
)

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


# Parts of msgspec's messages without content, and their reasons. Other messages mean
# that the type is right but the value is not allowed.
_REASONS = (
    (re.compile(r"Object missing required field `(\w+)`"), Reason.MISSING_FIELD),
    (re.compile(r"(Expected `int` [<>]= -?\d+)"), Reason.WRONG_TYPE),
    (re.compile(r"(Expected `[\w |]+`, got `\w+`)"), Reason.WRONG_TYPE),
    (re.compile(r"(Number out of range)"), Reason.NAN_OR_INFINITY),
    (re.compile(r"(Expected `[^`]+` (?:[<>]=|of length|with) [\w .<>=-]+)"), None),
    (re.compile(r"(Invalid RFC3339 encoded datetime)"), None),
    (re.compile(r"(Invalid enum value)"), None),
)
_PATH = re.compile(r" - at `(\$[\w.\[\]]*)`$")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def validate(value: bytes, bytes_max: int) -> Validated | Rejection:
    """Decode one record, or return the reason why it is not an event."""
    if len(value) > bytes_max:
        detail = f"{len(value)} bytes, sha256:{sha256(value).hexdigest()}"
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
        return _invalid(str(exc), "$")
    except (msgspec.DecodeError, RecursionError):
        return _malformed(value)
    try:
        payload = decode_payload[envelope.type](envelope.payload)
    except msgspec.ValidationError as exc:
        return _invalid(str(exc), "$.payload")
    except (msgspec.DecodeError, RecursionError):
        return _malformed(value)
    if envelope.timestamp.year not in YEARS:
        return Rejection(
            Reason.TIMESTAMP_OUT_OF_RANGE, "$.timestamp: year out of range"
        )
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


def _invalid(message: str, prefix: str) -> Rejection:
    found = _PATH.search(message)
    path = prefix + (found[1][1:] if found else "")
    message = _PATH.sub("", message)
    if path == "$.type" and message.startswith("Invalid enum value"):
        detail = f"expected one of {', '.join(EVENT_TYPES)}"
        return Rejection(Reason.UNKNOWN_TYPE, detail)
    if path == "$" and message.startswith("Expected `object`"):
        return Rejection(Reason.NOT_AN_OBJECT, "expected an object")
    for pattern, reason in _REASONS:
        match = pattern.match(message)
        if match:
            return Rejection(reason or Reason.INVALID_VALUE, f"{path}: {match[1]}")
    return Rejection(Reason.INVALID_VALUE, path)


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
