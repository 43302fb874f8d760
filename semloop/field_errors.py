"""Explains why a value does not fit a struct: the field, what it got, what is allowed.

msgspec's messages are the input. An explanation quotes a value only where the allowed
values are a list, and only if the value is a word: it can be a misspelled one of the
list, but not free text.
"""

import functools
import re
from enum import StrEnum
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec


class Kind(StrEnum):
    """What is wrong with a field."""

    MISSING = "missing"
    TYPE = "type"
    NUMBER = "number"
    VALUE = "value"


class FieldError(NamedTuple):
    """What is wrong with which field; `text` is `path` and the explanation."""

    kind: Kind
    path: str
    text: str


_PATH = re.compile(r" - at `\$([\w.\[\]]*)`$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_TYPE = re.compile(r"Expected `([\w |]+)`, got `(\w+)`")
_INTEGER_RANGE = re.compile(r"Expected `int` <= \d+")
_NUMBER_RANGE = re.compile(r"Expected `(int|float)` ([<>]=?) (-?[\d.]+)", re.IGNORECASE)
_LENGTH = re.compile(r"Expected `(str|array)` of length ([<>]=) (\d+)")
_WORD = re.compile(r"Invalid enum value '([A-Za-z][A-Za-z_-]{0,31})'")
_TIME = ("Invalid RFC3339", "Expected `datetime`")
_NAMES = {
    "str": "text", "int": "an integer", "float": "a number", "bool": "a boolean",
    "array": "an array", "object": "an object",
}  # fmt: skip
_CONTAINERS = {"str": ("text", "character"), "array": ("an array", "value")}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def explain(
    error: msgspec.ValidationError, struct: type[msgspec.Struct], prefix: str = ""
) -> FieldError:
    """Return what is wrong with a value that msgspec refused.

    Args:
        error: msgspec's error.
        struct: what the value should have been decoded to.
        prefix: the path of the value, such as `payload`; empty for the whole.
    """
    message = str(error)
    found = _PATH.search(message)
    inner = found[1].strip(".") if found else ""
    path = ".".join(filter(None, (prefix, inner)))
    message = _PATH.sub("", message)
    if match := _MISSING.match(message):
        path = ".".join(filter(None, (path, match[1])))
        return FieldError(Kind.MISSING, path, f"{path}: this field is required")
    kind, text = _explained(message, struct, inner)
    return FieldError(kind, path, f"{path}: {text}" if path else text)


def explained_range(message: str) -> str:
    """Return the bound of a number in plain words; empty for another message.

    Args:
        message: msgspec's, without the path.
    """
    match = _NUMBER_RANGE.match(message)
    if match is None:
        return ""
    name = _name(match[1].lower())
    return f"expected {name} of {_BOUNDS[match[2]]} {float(match[3]):,.10g}"


def _explained(
    message: str, struct: type[msgspec.Struct], path: str
) -> tuple[Kind, str]:
    if message.startswith(_TIME):
        text = "expected an RFC 3339 time with offset, such as 2026-01-31T12:00:00Z"
        # A number instead of a text is a wrong type, even for a time.
        kind = Kind.TYPE if ", got " in message else Kind.VALUE
        return kind, text
    if match := _TYPE.match(message):
        allowed = " or ".join(_name(part) for part in match[1].split(" | "))
        return Kind.TYPE, f"expected {allowed}, got {_name(match[2])}"
    if _INTEGER_RANGE.match(message):
        return Kind.TYPE, "expected an integer of at most 64 bits"
    if message.startswith("Number out of range"):
        return Kind.NUMBER, "expected a finite number"
    if text := explained_range(message):
        return Kind.VALUE, text
    if match := _LENGTH.match(message):
        container, unit = _CONTAINERS[match[1]]
        count = f"{match[3]} {unit}{'' if match[3] == '1' else 's'}"
        return Kind.VALUE, f"expected {container} of {_BOUNDS[match[2]]} {count}"
    if message.startswith("Invalid enum value"):
        word = _WORD.fullmatch(message)
        given = f'"{word[1]}"' if word else "the value"
        allowed = ", ".join(map(str, allowed_values(struct, path)))
        return Kind.VALUE, f"{given} is not one of {allowed}"
    return Kind.VALUE, "the value is not allowed"


@functools.cache
def allowed_values(struct: type[msgspec.Struct], path: str) -> tuple[Any, ...]:
    """Return the values of the `Literal` at a path of a struct."""
    found: Any = struct
    for name in path.split("."):
        found = get_type_hints(found)[name]
        for part in get_args(found):  # of `X | None`
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                found = part
    parts = [found, *get_args(found)]
    return next((get_args(part) for part in parts if get_origin(part) is Literal), ())


def _name(part: str) -> str:
    return _NAMES.get(part, part)
