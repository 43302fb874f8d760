"""Times of transcripts: RFC 3339, epoch seconds and their fractions, in UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# An epoch number of this size counts seconds until the year 5138; a larger one counts
# milliseconds, microseconds or nanoseconds.
SECONDS_MAX = 1e11
# Names of the time of a message, in the order of preference.
NAMES = (
    "timestamp", "created_at", "createdAt", "create_time", "created", "time", "date",
    "sent_at", "ts",
)  # fmt: skip


def time_of(value: object) -> datetime | None:
    """Return a time in UTC; a text without offset is UTC. None if it is no time."""
    if value is None or isinstance(value, bool):
        return None
    try:
        if isinstance(value, (int, float)):
            return _of_epoch(value)
        if isinstance(value, str):
            return _of_text(value)
    except (ValueError, OverflowError):
        return None
    return None


def time_in(fields: Mapping[str, object]) -> datetime | None:
    """Return the first time that an object has under one of `NAMES`."""
    for name in NAMES:
        value = fields.get(name)
        if value is not None and (found := time_of(value)) is not None:
            return found
    return None


def _of_text(text: str) -> datetime | None:
    try:
        found = msgspec.convert(text, datetime)
    except ValueError:
        number = text.strip()
        if number.replace(".", "", 1).isdecimal() and len(number) >= 9:
            whole = "." not in number
            return _of_epoch(int(number) if whole else float(number))
        # The forms of Python, such as one with a blank in the middle.
        found = datetime.fromisoformat(number)
    if found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    return found.astimezone(UTC)


def _of_epoch(value: int | float) -> datetime | None:
    scale = 1
    while abs(value) / scale > SECONDS_MAX:
        scale *= 1000
        if scale > 10**9:
            return None
    if isinstance(value, int):
        # Exact: a float has no room for the microseconds of today.
        return EPOCH + timedelta(microseconds=value * 10**6 // scale)
    return EPOCH + timedelta(seconds=value / scale)
