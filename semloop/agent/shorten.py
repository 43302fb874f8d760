"""Shortens the largest values of an event until it has at most a number of bytes.

Input are plain values (`values.py`). Large texts keep both ends, as the last lines of a
log matter most; large lists and objects keep their first values.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from semloop.agent.notes import Notes, Place

# A value of fewer bytes is kept or left out, but not shortened.
BYTES_MIN = 200
# Share of a text's characters that are kept of its start; the others are of its end.
START_SHARE = 0.75
# Between both ends of a shortened text.
MARK = " […shortened…] "
MARK_BYTES = len(MARK.encode())
# Brackets of a container; separator of a value, with the colon of its key.
JOIN_BYTES = 2

_encode = msgspec.json.Encoder().encode


def shortened(value: object, bytes_max: int, notes: Notes) -> object:
    """Return a plain value that takes at most a number of bytes as JSON.

    First the longest texts are cut to a common length. If `BYTES_MIN` would still be
    too long for them, the containers are shortened, too.
    """
    size = size_of(value)
    if size <= bytes_max:
        return value
    sizes = list(_text_sizes(value))
    limit = common_limit(sizes, bytes_max - size + sum(sizes))
    value = _with_shorter_texts(value, max(limit, BYTES_MIN), notes, Place(""))
    return _shortened(value, bytes_max, notes, Place(""))


def size_of(value: object) -> int:
    """Return the bytes of a plain value as JSON."""
    return len(_encode(value))


def cut_text(text: str, chars: int) -> str:
    """Return both ends of a text, of together a number of characters."""
    start = int(chars * START_SHARE)
    return text[:start] + MARK + text[len(text) - (chars - start) :]


def common_limit(sizes: list[int], total_max: int) -> int:
    """Return a limit of each size with which all together are at most a total.

    The sizes over the limit share equally what the smaller ones leave.
    """
    left, larger = total_max, len(sizes)
    for size in sorted(sizes):
        if size * larger > left:
            return max(0, left) // larger
        left -= size
        larger -= 1
    return total_max


def _text_sizes(value: Any) -> Iterator[int]:
    """Yield the bytes of each text that can be shortened."""
    if isinstance(value, str):
        if (size := size_of(value)) > BYTES_MIN:
            yield size
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _text_sizes(item)


def _with_shorter_texts(value: Any, limit: int, notes: Notes, place: Place) -> Any:
    """Return a value in which each text takes at most `limit` bytes."""
    if isinstance(value, str):
        size = size_of(value)
        return _text(value, size, limit, notes, place) if size > limit else value
    if isinstance(value, list):
        return [
            _with_shorter_texts(item, limit, notes, Place(index, place))
            for index, item in enumerate(value)
        ]
    if isinstance(value, dict):
        return {
            key: _with_shorter_texts(item, limit, notes, Place(key, place))
            for key, item in value.items()
        }
    return value


def _shortened(value: Any, bytes_max: int, notes: Notes, place: Place) -> Any:
    size = size_of(value)
    if size <= bytes_max:
        return value
    if isinstance(value, str):
        return _text(value, size, bytes_max, notes, place)
    if isinstance(value, list):
        return _list(value, bytes_max, notes, place)
    if isinstance(value, dict):
        return _dict(value, bytes_max, notes, place)
    return value  # a number


def _text(text: str, size: int, bytes_max: int, notes: Notes, place: Place) -> str:
    notes.shortened(place, len(text))
    chars = int(len(text) * max(0, bytes_max - MARK_BYTES) / size)
    # Characters differ in bytes, so the share that was kept may be larger than average.
    while size_of(cut := cut_text(text, chars)) > bytes_max and chars:
        chars = chars * 3 // 4
    return cut


def _list(values: list[Any], bytes_max: int, notes: Notes, place: Place) -> list[Any]:
    pairs = dict(enumerate(values))
    kept = _kept(pairs, [JOIN_BYTES] * len(values), bytes_max, notes, place)
    return list(kept.values())


def _dict(
    fields: dict[str, Any], bytes_max: int, notes: Notes, place: Place
) -> dict[str, Any]:
    keys = [size_of(key) + JOIN_BYTES for key in fields]
    return _kept(fields, keys, bytes_max, notes, place)


def _kept(
    fields: dict[Any, Any], keys: list[int], bytes_max: int, notes: Notes, place: Place
) -> dict[Any, Any]:
    """Return the first values, shortened; `keys` are the bytes of each key."""
    sizes = [size_of(value) for value in fields.values()]
    left = bytes_max - JOIN_BYTES
    count = 0
    for size, key in zip(sizes, keys, strict=True):
        left -= key + min(size, BYTES_MIN)
        if left < 0:
            break
        count += 1
    if count < len(fields):
        notes.add(place, f"shortened to {count:,} of {len(fields):,} values")
    room = bytes_max - JOIN_BYTES - sum(keys[:count])
    limit = common_limit(sizes[:count], room)
    return {
        key: value if size <= limit
        else _shortened(value, limit, notes, Place(key, place))
        for (key, value), size in zip(
            islice(fields.items(), count), sizes[:count], strict=True
        )
    }  # fmt: skip
