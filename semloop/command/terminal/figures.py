"""Figures as people read them."""

LISTED_MAX = 5


def size(count: float) -> str:
    """A number of bytes."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.4g} TiB"


def listed(parts: list[str]) -> str:
    """The first of many, and how many more there are."""
    more = len(parts) - LISTED_MAX
    rest = f" and {more:,} more" if more > 0 else ""
    return ", ".join(parts[:LISTED_MAX]) + rest


def many(count: int, noun: str) -> str:
    """A count with its noun: `1 record`, `2,000 records`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
