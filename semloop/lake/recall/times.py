"""Times as people say them, for Python, SQL and the command alike."""

import math
import re
from datetime import UTC, datetime, timedelta

from semloop.errors import ConfigError

UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([smhdw])")


def moment(name: str, given: str | datetime | timedelta, now: datetime) -> datetime:
    """The moment, in UTC, that is meant by an argument.

    Args:
        name: the argument, for the error.
        given: a length before now (`90m`, `24h`, `7d`, `2w`), an ISO 8601 timestamp, or
            either as Python's own type; one without an offset is UTC.
        now: the clock's time.

    Raises:
        ConfigError: it is neither, or before the first year.
    """
    meant = given
    try:
        if isinstance(meant, str):
            seconds = _seconds(meant)
            meant = (
                datetime.fromisoformat(meant.strip())
                if seconds is None
                else timedelta(seconds=seconds)
            )
        if isinstance(meant, timedelta):
            return now - meant
        if isinstance(meant, datetime):
            found = meant if meant.tzinfo else meant.replace(tzinfo=UTC)
            return found.astimezone(UTC)
    except OverflowError:
        msg = f"{name}: {str(given)!r} goes back too far."
        todo = f"Write 24h, 7d or a timestamp, or leave {name} out for everything."
        raise ConfigError(msg, todo) from None
    except ValueError:
        pass
    msg = f"{name}: {str(given)!r} is neither a length of time nor a timestamp."
    todo = "Write 90m, 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00+01:00."
    raise ConfigError(msg, todo) from None


def length_s(name: str, given: str | timedelta) -> float:
    """A length of time in seconds, more than 0: `24h`, or Python's own type.

    Raises:
        ConfigError: it is none.
    """
    seconds = (
        given.total_seconds() if isinstance(given, timedelta) else _seconds(str(given))
    )
    if seconds is None or not 0 < seconds < math.inf:
        msg = f"{name}: {str(given)!r} is no length of time above 0."
        raise ConfigError(msg, "Write 90m, 24h, 7d or 2w.")
    return seconds


def _seconds(text: str) -> float | None:
    found = _LENGTH.fullmatch(text.strip().lower())
    return float(found[1]) * UNITS_S[found[2]] if found else None
