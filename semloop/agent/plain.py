"""Finds the values that can be encoded as they are, which almost all values are."""

from typing import Any

# Levels of a value: the archive accepts 64 in a whole record.
DEPTH_MAX = 56
# Values of one event, and of one container; more would delay the caller by a second.
VALUES_MAX = 100_000
CONTAINER_MAX = 50_000
# A container takes as long as this many other values.
CONTAINER_VALUES = 4
# Weight of one value: an event of `VALUES_MAX` empty values is as heavy as 4 MiB text.
VALUE_WEIGHT = 40
WEIGHT_MAX = VALUES_MAX * VALUE_WEIGHT
INT_MIN, INT_MAX = -(2**63), 2**64 - 1


def is_plain(value: dict[str, object]) -> bool:
    """Return True if JSON has every type in an object, and it is not too large.

    It does not detect half surrogate pairs; encoding them fails.
    """
    try:
        return _weighed(value, WEIGHT_MAX, DEPTH_MAX + 1) >= 0
    except (RuntimeError, RecursionError):  # another thread changed a container
        return False


def _weighed(value: Any, left: int, depth: int) -> int:
    """Return what the values of a container leave of a weight; below 0: not plain."""
    left -= VALUE_WEIGHT * len(value)
    if depth <= 0 or left < 0:
        return -1
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                return -1
            left -= len(key)
        value = value.values()
    for item in value:
        kind = type(item)
        if kind is str:
            left -= len(item)
        elif kind is int or kind is float:
            if not INT_MIN <= item <= INT_MAX:  # NaN is not, either
                return -1
        elif kind is dict or kind is list:
            left = _weighed(item, left, depth - 1)
            if left < 0:
                return -1
        elif item is not None and kind is not bool:
            return -1
    return left
