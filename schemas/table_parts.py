"""A part of a table: its rows of one date, or all rows of a table without dates.

The date is None for the latter, whose files are not in folders.
"""

from datetime import date


def part_name(table: str, day: date | None) -> str:
    """Return the name of a part for logs and error texts."""
    return f"{table} of {day}" if day else table


def partition_values(day: date | None) -> dict[str, str]:
    """Return the partition of its files, as log entries have it."""
    return {"date": day.isoformat()} if day else {}


def path_of(day: date | None, name: str) -> str:
    """Return the path in the table of a file."""
    return f"date={day.isoformat()}/{name}" if day else name
