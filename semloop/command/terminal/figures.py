"""Counts, sizes and lists for people."""

LISTED_MAX = 5


def format_bytes(count: float) -> str:
    """Format a number of bytes: `1.5 MiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.4g} TiB"


def format_list(parts: list[str]) -> str:
    """Join the first few items and add how many more there are."""
    more = len(parts) - LISTED_MAX
    rest = f" and {more:,} more" if more > 0 else ""
    return ", ".join(parts[:LISTED_MAX]) + rest


def format_count(count: int, noun: str) -> str:
    """Format a count with its noun: `1 record`, `2,000 records`, `2 processes`."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{'' if count == 1 else ending}"
