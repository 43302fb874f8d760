"""Values of YAML as values of JSON."""

import base64
import math
from collections.abc import Mapping
from datetime import date

# Values of one row: references can name a value again and again, so that a small file
# would stand for one of any size.
VALUES_MAX = 1_000_000


def plain(value: object) -> object:
    """Return a value with values of JSON in it: dates, bytes and names are texts.

    Raises:
        ValueError: it has too many values, is nested too deeply, or has two names that
            are the same text.
    """
    try:
        return _plain(value, [VALUES_MAX])
    except RecursionError:
        msg = "a row is nested too deeply"
        raise ValueError(msg) from None


def _plain(value: object, left: list[int]) -> object:
    left[0] -= 1
    if left[0] < 0:
        msg = f"a row has over {VALUES_MAX:,} values"
        raise ValueError(msg)
    if isinstance(value, Mapping):
        found = {_text(name): _plain(v, left) for name, v in value.items()}
        if len(found) < len(value):
            msg = "a row has two names that are the same text"
            raise ValueError(msg)
        return found
    if isinstance(value, (list, tuple, set)):
        return [_plain(v, left) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    is_plain = value is None or isinstance(value, (str, bool, int, float))
    return value if is_plain else _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
