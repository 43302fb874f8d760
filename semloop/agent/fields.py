"""Converts the arguments of an event to the types that its fields have.

The structs in `semloop/event.py` say which type a field has. What cannot be converted
is passed on as it is: validation then names the field.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cache
from itertools import islice
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from semloop.agent.foreign import array
from semloop.agent.foreign_code import alone, catches
from semloop.agent.notes import Notes
from semloop.agent.parts import content_text
from semloop.agent.scalars import id_text, is_missing, unwrapped
from semloop.agent.values import to_plain
from semloop.event import PAYLOADS, Meta

# Roles of other APIs: OpenAI's since o1 and until 2023, LangChain's, Gemini's.
ROLES = {
    "developer": "system", "function": "tool", "human": "user", "ai": "assistant",
    "model": "assistant",
}  # fmt: skip
# More tags are not read: their argument may be an endless iterator.
TAGS_READ_MAX = 1_000
# Integers of more bits are not finite as a float.
FLOAT_BITS_MAX = 1_023


class FieldTypes:
    """The types of the fields of a struct, and which of them must be present."""

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        self.types = {
            name: _type_of(hint) for name, hint in get_type_hints(struct).items()
        }
        infos = msgspec.structs.fields(struct)
        self.required = frozenset(info.encode_name for info in infos if info.required)


def _type_of(hint: Any) -> Any:
    """Return the type of a field without None: str, float, `Literal`, ..."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) is Literal:
            return Literal
        if get_origin(part) is list:
            return list
        if part in (str, float, int, bool, msgspec.Raw):
            return part
    msg = f"a field has the type {hint}"
    raise AssertionError(msg)


META_TYPES = FieldTypes(Meta)


@cache
def payload_types(kind: str) -> FieldTypes:
    """Return the types of the fields of a payload; most events do not need them."""
    return FieldTypes(PAYLOADS[kind])


class Converter:
    """Converts the fields of one event.

    Args:
        notes: receives what was changed.
        text_max: characters to keep of a text.
    """

    def __init__(self, notes: Notes, text_max: int) -> None:
        self._notes = notes
        self._text_max = text_max

    def fields(
        self, values: Mapping[str, object], known: FieldTypes, prefix: str = ""
    ) -> dict[str, object]:
        """Return the fields that have a value, with the types that the struct has.

        A required text that has no value is empty.
        """
        converted: dict[str, object] = {
            name: "" for name in known.required if known.types[name] is str
        }
        for name, value in values.items():
            kind = known.types.get(name, msgspec.Raw)
            if value is not None:
                new = self._converted(kind, name, value, prefix)
                if new is not None:
                    converted[name] = new
        return converted

    def _converted(self, kind: Any, name: str, value: object, prefix: str) -> object:
        path = prefix + name
        try:
            return _CONVERT[kind](self, value, path)
        except BaseException as error:
            if not catches(error):
                raise
            return self._plain(value, path)

    def _plain(self, value: object, path: str) -> object:
        return to_plain(value, path, self._notes, self._text_max)

    def _text(self, value: object, path: str) -> str | None:
        if not isinstance(value, str):
            try:
                text = id_text(value)
            except BaseException as error:
                if not catches(error):
                    raise
                plain = self._plain(value, path)
                text = content_text(plain, path, self._notes)
            if text is None:
                return None
            value = text
        return str(self._plain(value, path))

    def _choice(self, value: object, path: str) -> object:
        value = unwrapped(value)
        if not isinstance(value, str):
            return self._plain(value, path)
        word = str.__str__(value).lower()
        return ROLES.get(word, word) if path == "role" else word

    def _number(self, value: object, path: str) -> object:
        value = unwrapped(value)
        if isinstance(value, timedelta) and path.endswith("_ms"):
            return value / timedelta(milliseconds=1)
        if isinstance(value, int):
            if value.bit_length() <= FLOAT_BITS_MAX:
                return int.__add__(value, 0)
            return self._plain(value, path)
        if is_missing(value) or isinstance(value, float):
            return self._plain(value, path)
        if isinstance(value, str | bytes):
            return self._plain(value, path)
        if hasattr(type(value), "__float__"):
            return self._plain(alone(float, value), path)  # type: ignore[arg-type]
        found = alone(array, value)
        return self._plain(value if found is None else found, path)

    def _integer(self, value: object, path: str) -> object:
        number = self._number(value, path)
        whole = isinstance(number, float) and number.is_integer()
        return int(number) if whole else number  # type: ignore[call-overload]

    def _flag(self, value: object, path: str) -> object:
        value = unwrapped(value)
        if isinstance(value, int) and value in {0, 1}:
            return bool(value)
        return self._plain(value, path)

    def _texts(self, value: object, path: str) -> list[str]:
        """Return tags; one that is not in a list is the only one."""
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            value = (value,)
        texts = (self._text(tag, path) for tag in islice(value, TAGS_READ_MAX))
        return [text for text in texts if text is not None]


_CONVERT: dict[Any, Callable[[Converter, object, str], object]] = {
    str: Converter._text,
    float: Converter._number,
    int: Converter._integer,
    bool: Converter._flag,
    list: Converter._texts,
    Literal: Converter._choice,
    msgspec.Raw: Converter._plain,
}
