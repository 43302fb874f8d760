"""Durations for people: `0.3 ms`, `350 ms`, `2.0 s`, `3 min 20 s`, `2 y 40 d`."""

import math
from datetime import datetime

# Largest first. Months are left out because their length varies; a year is 365 days.
UNITS_S = (("y", 31_536_000), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
# Longer is a wrong number, of which no digit matters.
YEARS_MAX = 1_000_000


def format_duration(seconds: float, units: int = 2) -> str:
    """Format a duration of any size in at most `units` units."""
    if math.isnan(seconds):
        return "unknown"
    if abs(seconds) > YEARS_MAX * UNITS_S[0][1]:
        return f"{'over ' if seconds > 0 else 'under -'}{YEARS_MAX:,} y"
    if seconds < 0:
        return f"-{format_duration(-seconds, units)}"
    if seconds < 0.9995:
        ms = seconds * 1_000
        return f"{ms:.1f} ms" if 0 < ms < 9.95 else f"{ms:.0f} ms"
    if seconds < 59.95 and units > 1:
        return f"{seconds:.1f} s"
    left = int(seconds)
    parts: list[tuple[int, str]] = []
    for name, size in UNITS_S:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count:,} {name}" for count, name in parts[:units] if count)


def format_age(then: datetime, now: datetime) -> str:
    """Format the time since `then` in one unit; `0 s` if clock skew puts it ahead."""
    seconds = (now - then).total_seconds()
    return "0 s" if seconds < 1 else format_duration(seconds, 1)
