"""Decides which rows of a date have expired, by table and namespace."""

from collections.abc import Mapping
from datetime import date

from schemas.retention import ALL
from semloop.sql_text import quoted


def expired_rows(
    retention: Mapping[str, float], table: str, day: date, today: date
) -> str | None:
    """Return the SQL condition of the rows of a date that have expired.

    A date expires as a whole, once its last moment is longer ago than the days of its
    table, or of the row's namespace.

    Args:
        retention: `TABLE` or `TABLE/NAMESPACE` -> days; 0, or absent: indefinitely.
        table: name of the table.
        day: the date.
        today: the present date.

    Returns:
        `ALL`, or a condition on `namespace`, which is never NULL; None if no row has
        expired.
    """
    age_days = (today - day).days - 1

    def expires(days: float) -> bool:
        return 0 < days <= age_days

    others = expires(retention.get(table, 0.0))
    prefix = f"{table}/"
    different = sorted(
        key.removeprefix(prefix)
        for key, days in retention.items()
        if key.startswith(prefix) and expires(days) is not others
    )
    if not different:
        return ALL if others else None
    names = ", ".join(map(quoted, different))
    known = f"coalesce(namespace IN ({names}), false)"
    return f"NOT {known}" if others else known
