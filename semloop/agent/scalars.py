"""Single Python values as text: ids, names, and what JSON has no type for."""

import uuid
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import msgspec

from semloop.agent.foreign_code import alone

# Longer integers become hexadecimal text: decimal digits would take quadratic time.
INT_BITS_MAX = 2048
# Integers up to this size are exact in a float.
EXACT_FLOAT_MAX = 2**53
# Types whose `str` is the value.
AS_STR = (uuid.UUID, PurePath, Decimal, Fraction, complex)
# Types without containers that JSON writes as text.
SCALARS = (*AS_STR, date, time, timedelta)
# Types whose methods are not code of others.
BUILT_IN = frozenset((str, int, float, bool, type(None), bytes))
# pandas' markers of an absent value.
MISSING_TYPES = frozenset(("NaTType", "NAType"))


class NotTextError(Exception):
    """A value has no form as a text that could serve as an id."""


def clean(text: str) -> str:
    """Return an exact `str` that can be UTF-8.

    The halves of a surrogate pair are joined; a half alone becomes U+FFFD.
    """
    text = str.__str__(text)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def id_text(value: object) -> str | None:
    """Return a scalar as the text of an id; None for an absent value, such as NaN.

    A float without a fraction is written as an integer: pandas reads integers as floats
    where some are absent. Bytes are text if they are printable UTF-8, or else
    hexadecimal. A type of its own, such as bson's `ObjectId`, has its `str`.

    Raises:
        NotTextError: the value is a container or an object without a `str` of its own.
        Exception: what the code of the value raises.
    """
    return _id_text(value) if type(value) in BUILT_IN else alone(_id_text, value)


def unwrapped(value: Any) -> Any:
    """Return the value of an enum member, and the Python value of a numpy scalar."""
    if isinstance(value, Enum):
        return value.value
    kind = type(value)
    if kind.__module__ == "numpy" and hasattr(kind, "item") and not value.shape:
        if kind.__name__ in {"datetime64", "timedelta64"}:
            return None if str(value) == "NaT" else str(value)
        item = value.item()
        return float(item) if type(item) is kind else item
    return value


def is_missing(value: object) -> bool:
    """Return True for NaN, and for the NaT and NA of pandas and numpy."""
    if isinstance(value, float):
        return value != value  # noqa: PLR0124
    if isinstance(value, Decimal):
        return value.is_nan()
    return type(value).__name__ in MISSING_TYPES


def int_text(value: int) -> str:
    """Return an integer as text, in linear time."""
    return str(int(value)) if value.bit_length() <= INT_BITS_MAX else hex(value)


def scalar_text(value: object) -> str:
    """Return one of `SCALARS` as text: times and durations in ISO 8601, UTC as `Z`."""
    if isinstance(value, date | time):
        text = value.isoformat()
        return text[:-6] + "Z" if text.endswith("+00:00") else text
    if isinstance(value, timedelta):
        plain = timedelta(value.days, value.seconds, value.microseconds)
        return str(msgspec.to_builtins(plain))
    return str(value)


def _id_text(value: Any) -> str | None:
    value = unwrapped(value)
    if value is None or is_missing(value):
        return None
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int_text(value)
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) <= EXACT_FLOAT_MAX
        return str(int(value) if whole else value)
    if isinstance(value, bytes | bytearray):
        return _bytes_text(bytes(value))
    if isinstance(value, SCALARS):
        return clean(scalar_text(value))
    if not _has_own_text(value):
        raise NotTextError
    return clean(str(value))


def _bytes_text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def _has_own_text(value: object) -> bool:
    """Return True for a scalar whose class defines how it is written."""
    kind = type(value)
    if isinstance(value, BaseException | type) or callable(value):
        return False
    containers = ("__iter__", "__len__", "__dataclass_fields__", "model_dump")
    if any(hasattr(kind, name) for name in containers):
        return False
    return kind.__str__ is not object.__str__
