"""The verdict on one record: an event, or the reason why it is none.

Only polls with something unusual come here, so clearness goes before speed. The
`detail` of a verdict is made of places and expectations, never of what stood there:
msgspec's own messages quote values in some cases, so only their known parts are used.
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
# What fits int64 microseconds whatever the offset; the exact bounds are checked later.
YEARS = range(1999, 9999)

Judged = tuple[Envelope, Payload, str | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a record is a dead letter; `keep_raw` is off for what is too large."""

    reason: Reason
    detail: str = ""
    keep_raw: bool = True


# Words of msgspec's messages that hold no content, mapped to our reasons. Anything
# that is not listed is the right type with a value that is not allowed.
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


def judge(value: bytes, bytes_max: int) -> Judged | Verdict:
    """Decode one record, or say why it cannot be an event."""
    if len(value) > bytes_max:
        detail = f"{len(value)} bytes, sha256:{sha256(value).hexdigest()}"
        return Verdict(Reason.TOO_LARGE, detail, keep_raw=False)
    if too_deep(value):
        return Verdict(Reason.TOO_DEEP, f"expected at most {DEPTH_MAX} levels")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as exc:
        return Verdict(Reason.INVALID_UTF8, f"byte {exc.start}")
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
        return Verdict(Reason.TIMESTAMP_OUT_OF_RANGE, "$.timestamp: no such year")
    return envelope, payload, extra


def too_deep(value: bytes) -> bool:
    """Whether a record is nested deeper than `DEPTH_MAX` levels; linear in its size."""
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
    """The fields that the envelope and `meta` do not know, as one JSON object."""
    fields: dict[str, Any] = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    meta = msgspec.json.decode(fields["meta"], type=dict[str, msgspec.Raw])
    known = Envelope.__struct_fields__
    extra: dict[str, Any] = {k: v for k, v in fields.items() if k not in known}
    unknown_meta = {k: v for k, v in meta.items() if k not in Meta.__struct_fields__}
    if unknown_meta:
        extra["meta"] = unknown_meta
    return msgspec.json.encode(extra).decode()


def _invalid(message: str, prefix: str) -> Verdict:
    found = _PATH.search(message)
    path = prefix + (found[1][1:] if found else "")
    message = _PATH.sub("", message)
    if path == "$.type" and message.startswith("Invalid enum value"):
        detail = f"expected one of {', '.join(EVENT_TYPES)}"
        return Verdict(Reason.UNKNOWN_TYPE, detail)
    if path == "$" and message.startswith("Expected `object`"):
        return Verdict(Reason.NOT_AN_OBJECT, "expected an object")
    for pattern, reason in _REASONS:
        match = pattern.match(message)
        if match:
            return Verdict(reason or Reason.INVALID_VALUE, f"{path}: {match[1]}")
    return Verdict(Reason.INVALID_VALUE, path)


def _malformed(value: bytes) -> Verdict:
    """Which kind of not-JSON it is: Python's lenient reader tells them apart."""
    found: list[str] = []

    def constant(name: str) -> None:
        found.append(name)

    try:
        # No recursion: too deep nesting was dealt with before.
        json.loads(value.decode("utf-8"), parse_constant=constant)
    except (json.JSONDecodeError, RecursionError):
        return Verdict(Reason.NOT_JSON, "expected one JSON object")
    if found:
        return Verdict(Reason.NAN_OR_INFINITY, "expected a finite number")
    if _SURROGATE.search(value):
        return Verdict(Reason.LONE_SURROGATE, "expected a surrogate pair")
    return Verdict(Reason.NOT_JSON, "expected one JSON object")
