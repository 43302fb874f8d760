"""Converts any Python value to one that JSON has, in bounded time.

A value that is not plain (`plain.py`) is copied, level by level: what is near the top
is kept if there is more than an event can hold. Code of other people runs meanwhile
(`__repr__`, `model_dump`, iterators): what it raises is noted, never raised.
"""

import reprlib
from binascii import b2a_base64
from collections import deque
from collections.abc import Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from types import FunctionType, NoneType
from typing import Any

from semloop.agent.foreign import Fields, Items, array, record
from semloop.agent.foreign_code import alone, catches
from semloop.agent.notes import Notes, Place
from semloop.agent.plain import (
    CONTAINER_MAX,
    CONTAINER_VALUES,
    DEPTH_MAX,
    INT_MAX,
    INT_MIN,
    VALUE_WEIGHT,
    VALUES_MAX,
)
from semloop.agent.scalars import (
    BUILT_IN,
    SCALARS,
    clean,
    id_text,
    int_text,
    is_missing,
    scalar_text,
    unwrapped,
)
from semloop.agent.shorten import common_limit, cut_text

# Bytes of a binary value that are kept.
BINARY_BYTES_MAX = 2**18
# Characters of the `repr` of a value that has no other form, and of a key.
REPR_CHARS_MAX = 10_000
KEY_CHARS_MAX = 500
# Conversions of a value that become another, such as the value of an enum member.
STEPS_MAX = 4
# Attempts to copy a container that another thread changes meanwhile.
COPIES_MAX = 3
# Types whose conversion runs no code of others.
OWN_TYPES = BUILT_IN | {dict, list, tuple, set, Items, Fields}
JSON_SCALARS = (str, int, float, NoneType)


def to_plain(value: object, name: str, notes: Notes, text_max: int) -> object:
    """Return a copy of a value in types that JSON has.

    Args:
        value: any value.
        name: the field, for the notes.
        notes: receives what was changed or left out.
        text_max: characters to keep of a text, and of all texts.
    """
    return _Conversion(notes, text_max).run(value, name)


class _Conversion:
    """The state of one conversion: a queue of containers whose values are due."""

    def __init__(self, notes: Notes, text_max: int) -> None:
        self._notes = notes
        self._text_max = text_max
        self._left = VALUES_MAX
        self._texts: list[tuple[Any, Any, Place]] = []
        self._waiting: deque[tuple[Any, Any, Items | Fields, Place, int]] = deque()

    def run(self, value: object, name: str) -> object:
        holder: list[object] = [None]
        self._put(holder, 0, value, Place(name), 0)
        while self._waiting:
            self._expand(*self._waiting.popleft())
        self._shorten_texts()
        return holder[0]

    def _put(
        self, target: Any, key: Any, value: object, place: Place, depth: int
    ) -> None:
        """Set `target[key]` to a value, or to a container that is filled later."""
        self._left -= 1
        try:
            if type(value) in OWN_TYPES:
                form = self._form(value, place)
            else:
                form = alone(self._form, value, place)
        except BaseException as error:
            if not catches(error):
                raise
            form = self._unreadable(value, place, error)
        if not isinstance(form, Items | Fields):
            target[key] = form
            if isinstance(form, str) and len(form) > VALUE_WEIGHT:
                self._texts.append((target, key, place))
        elif place.parent is not None and place.parent.is_in(value):
            target[key] = self._left_out(place, "a container inside itself")
        elif depth >= DEPTH_MAX:
            target[key] = self._left_out(place, f"over {DEPTH_MAX} levels")
        else:
            self._left -= CONTAINER_VALUES
            place.container = value
            target[key] = None
            self._waiting.append((target, key, form, place, depth + 1))

    def _expand(
        self, target: Any, key: Any, form: Items | Fields, place: Place, depth: int
    ) -> None:
        """Fill a container."""
        count = min(CONTAINER_MAX, max(0, self._left))
        kept: Any = [] if isinstance(form, Items) else {}
        target[key] = kept
        seen = 0
        source = form.values if isinstance(form, Items) else form.pairs
        for item in islice(source, count):
            seen += 1
            if isinstance(form, Items):
                kept.append(None)
                self._put(kept, seen - 1, item, Place(seen - 1, place), depth)
            else:
                pair: Any = item
                name, value = self._key(pair[0], kept), pair[1]
                self._put(kept, name, value, Place(name, place), depth)
        total = form.total if form.total is not None else seen
        if seen < total:
            self._notes.add(place, f"shortened to {seen:,} of {total:,} values")

    def _shorten_texts(self) -> None:
        """Shorten the longest texts if all together are too long.

        Until here they are shared with the caller, so even one long text that a list
        contains a hundred thousand times took no memory.
        """
        lengths = [len(target[key]) for target, key, _ in self._texts]
        if sum(lengths) <= self._text_max:
            return
        limit = common_limit(lengths, self._text_max)
        for (target, key, place), length in zip(self._texts, lengths, strict=True):
            if length > limit:
                target[key] = cut_text(target[key], limit)
                self._notes.shortened(place, length)

    def _form(self, value: object, place: Place) -> object:
        """Return a JSON value without children, or what a container is written as."""
        if isinstance(value, Items | Fields):
            return value
        if type(value) is dict:
            return Fields(_copied(value.items()), len(value))
        if type(value) is list:
            return Items(_copied(value), len(value))
        for _ in range(STEPS_MAX):
            value = unwrapped(value)
            if is_missing(value) or isinstance(value, JSON_SCALARS):
                return self._json_scalar(value, place)
            if isinstance(value, bytes | bytearray | memoryview):
                return self._binary(value, place)
            if isinstance(value, SCALARS):
                return self._text(scalar_text(value), place)
            found = array(value)
            if found is None:
                found = record(value)
            if found is None:
                return self._container(value, place)
            if isinstance(found, Items | Fields):
                return found
            value = found
        return self._repr(value, place)

    def _json_scalar(self, value: object, place: Place) -> object:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, place)
        if isinstance(value, int):
            return self._int(value, place)
        return self._float(value, place)

    def _container(self, value: object, place: Place) -> object:
        if isinstance(value, Mapping):
            return Fields(_copied(value.items()), len(value))
        if isinstance(value, Sequence | AbstractSet | ValuesView | deque):
            return Items(_copied(value), len(value))
        return self._repr(value, place)

    def _text(self, value: str, place: Place) -> str:
        length = len(value)
        if length > self._text_max:
            self._notes.shortened(place, length)
            value = cut_text(str.__str__(value), self._text_max)
        return clean(value)

    def _int(self, value: int, place: Place) -> int | str:
        if INT_MIN <= value <= INT_MAX:
            return int.__add__(value, 0)
        self._notes.add(place, "an integer over 64 bits became text")
        return self._text(int_text(value), place)

    def _float(self, value: object, place: Place) -> float | None:
        if isinstance(value, float) and value - value == 0:
            return float.__pos__(value)
        if isinstance(value, float) and not is_missing(value):
            self._notes.add(place, "an infinite number became null")
        else:
            self._notes.add(place, "NaN became null")
        return None

    def _binary(
        self, value: bytes | bytearray | memoryview, place: Place
    ) -> dict[str, object]:
        size = value.nbytes if isinstance(value, memoryview) else len(value)
        if isinstance(value, memoryview) and not value.c_contiguous:
            value = value.tobytes()
        kept = bytes(memoryview(value).cast("B")[:BINARY_BYTES_MAX] if size else b"")
        if size > BINARY_BYTES_MAX:
            text = f"shortened to {BINARY_BYTES_MAX:,} of {size:,} bytes"
            self._notes.add(place, text)
        return {"base64": b2a_base64(kept, newline=False).decode(), "bytes": size}

    def _repr(self, value: object, place: Place) -> str:
        if isinstance(value, type | FunctionType):
            return self._text(f"{value.__module__}.{value.__qualname__}", place)
        text = clean(repr(value)[: REPR_CHARS_MAX + 1])
        if len(text) > REPR_CHARS_MAX:
            self._notes.add(place, "a long text form was shortened")
        return text[:REPR_CHARS_MAX]

    def _key(self, key: object, kept: Mapping[str, object]) -> str:
        """Return a key as text that is not in use."""
        try:
            text = key if isinstance(key, str) else id_text(key)
            text = clean("null" if text is None else text)
        except BaseException as error:
            if not catches(error):
                raise
            text = _key_repr(key)
        text = unused = text[:KEY_CHARS_MAX]
        number = len(kept)
        while unused in kept:
            number += 1
            unused = f"{text} ({number})"
        return unused

    def _left_out(self, place: Place, reason: str) -> str:
        self._notes.add(place, f"left out: {reason}")
        return f"[left out: {reason}]"

    def _unreadable(self, value: object, place: Place, error: BaseException) -> str:
        """Return the `repr` of a value whose conversion failed, or only its type."""
        self._notes.add(place, f"not readable: {type(error).__name__}")
        try:
            return alone(self._repr, value, place)
        except BaseException as second:
            if not catches(second):
                raise
            return f"<{type(value).__name__}: not readable>"


def _copied(container: Any) -> list[Any]:
    """Return the first values of a container, which other threads may change."""
    for _ in range(COPIES_MAX - 1):
        try:
            return list(islice(container, CONTAINER_MAX))
        except RuntimeError:
            continue
    return list(islice(container, CONTAINER_MAX))


def _key_repr(key: object) -> str:
    try:
        return clean(alone(reprlib.repr, key))
    except BaseException as error:
        if not catches(error):
            raise
        return f"<{type(key).__name__}>"
