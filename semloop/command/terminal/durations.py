"""Durations for people: `350 ms`, `3 min 20 s`."""

from datetime import datetime

# Largest first. Months are left out because their length varies.
UNITS_S = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def format_duration(seconds: float, units: int = 2) -> str:
    """Format a duration in at most `units` units: `350 ms`, `1.2 s`, `3 min 20 s`."""
    if seconds < 0:
        return f"-{format_duration(-seconds, units)}"
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
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
