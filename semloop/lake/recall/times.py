"""Times and durations as arguments in Python, SQL and on the command line."""

import math
import re
from datetime import UTC, datetime, timedelta

from semloop.errors import ConfigError

UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([smhdw])")


def moment(name: str, given: str | datetime | timedelta, now: datetime) -> datetime:
    """Return the point in time, in UTC, that an argument specifies.

    Args:
        name: name of the argument, for errors.
        given: a duration before now (`90m`, `24h`, `7d`, `2w`) or an ISO 8601
            timestamp, as text or Python's type; UTC if it has no offset.
        now: the current time.

    Raises:
        ConfigError: the value is neither, or before year 1.
    """
    value = given
    try:
        if isinstance(value, str):
            seconds = _seconds(value)
            value = (
                datetime.fromisoformat(value.strip())
                if seconds is None
                else timedelta(seconds=seconds)
            )
        if isinstance(value, timedelta):
            return now - value
        if isinstance(value, datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return aware.astimezone(UTC)
    except OverflowError:
        msg = f"{name}: {str(given)!r} is before year 1."
        todo = f"Write 24h, 7d or a timestamp, or omit {name} for no limit."
        raise ConfigError(msg, todo) from None
    except ValueError:
        pass
    msg = f"{name}: {str(given)!r} is neither a duration nor a timestamp."
    todo = "Write 90m, 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00+01:00."
    raise ConfigError(msg, todo) from None


def length_s(name: str, given: str | timedelta) -> float:
    """Return a positive duration, such as `24h` or a timedelta, in seconds.

    Raises:
        ConfigError: the value is not a positive duration.
    """
    seconds = (
        given.total_seconds() if isinstance(given, timedelta) else _seconds(str(given))
    )
    if seconds is None or not 0 < seconds < math.inf:
        msg = f"{name}: {str(given)!r} is not a duration above 0."
        raise ConfigError(msg, "Write 90m, 24h, 7d or 2w.")
    return seconds


def _seconds(text: str) -> float | None:
    found = _LENGTH.fullmatch(text.strip().lower())
    return float(found[1]) * UNITS_S[found[2]] if found else None
