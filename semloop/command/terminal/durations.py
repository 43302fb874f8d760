"""Lengths of time as people read them: `350 ms`, `3 min 20 s`."""

from datetime import datetime

# Shown the other way round; a month is not a length.
SHOWN_S = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def spoken(seconds: float, units: int = 2) -> str:
    """A length of time in at most so many units: `350 ms`, `1.2 s`, `3 min 20 s`."""
    if seconds < 0:
        return f"-{spoken(-seconds, units)}"
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
    if seconds < 59.95 and units > 1:
        return f"{seconds:.1f} s"
    left = int(seconds)
    parts: list[tuple[int, str]] = []
    for name, size in SHOWN_S:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count:,} {name}" for count, name in parts[:units] if count)


def age(then: datetime, now: datetime) -> str:
    """How long ago something was, in one unit; clocks that differ make it `0 s`."""
    seconds = (now - then).total_seconds()
    return "0 s" if seconds < 1 else spoken(seconds, 1)
