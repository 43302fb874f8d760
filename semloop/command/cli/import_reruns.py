"""Which lines of an import are dead letters of an earlier import already.

`archive` stores a broken line once, under the id of the import that sent it first. So
the id of a later import selects only the lines that are new.
"""

from collections.abc import Mapping, Sequence

from semloop.command.terminal.figures import format_count
from semloop.errors import SemLoopError
from semloop.event import IMPORT_HEADER
from semloop.settings import Settings

# Ids of lines that are looked up, 80 bytes each; more are rarely of other imports.
LINES_MAX = 100_000
RESOLVE = "semloop dlq resolve --import"
EARLIER = "Dead letters of an earlier import"
# The import of each dead letter: NULL if it is resolved, empty if it has none.
FOUND = """
    SELECT CASE WHEN state <> 'resolved' THEN regexp_extract(headers, $header, 1) END
        AS import, count(*)
    FROM dead_letters WHERE id IN (SELECT unnest($ids)) GROUP BY 1 ORDER BY 1
"""
HEADER = rf'\["{IMPORT_HEADER}","([^"]*)"\]'


def how_to_drop(settings: Settings, import_id: str, ids: Sequence[str]) -> list[str]:
    """Return the lines that say how to drop the dead letters of an import.

    Args:
        settings: of the lake, which may be unreadable from here.
        import_id: the id of this import.
        ids: those of its lines that become dead letters, at most `LINES_MAX`.
    """
    own = f"{RESOLVE} {import_id}"
    try:
        found = _found(settings, ids)
    except SemLoopError:
        # NOTE: also before the first start of `archive`, when there is no lake.
        return [
            f"To drop them: {own}",
            "(If they were imported before: with the id of the first import.)",
        ]
    earlier = {name: count for name, count in found.items() if name != import_id}
    lines = [_earlier(name, count) for name, count in earlier.items()]
    if sum(earlier.values()) < len(ids):
        lines.append(f"To drop {'the others' if earlier else 'them'}: {own}")
    return lines


def _found(settings: Settings, ids: Sequence[str]) -> Mapping[str | None, int]:
    """Count the lines that are dead letters already, by import."""
    from semloop.command.cli.lake_queries import open_lake

    with open_lake(settings) as lake:
        values = {"ids": list(ids), "header": HEADER}
        return dict(lake.sql(FOUND, values).fetchall())


def _earlier(name: str | None, count: int) -> str:
    lines = format_count(count, "line")
    if name is None:
        return f"{EARLIER}, and resolved: {lines}."
    if not name:
        return f"Dead letters already, of no import: {lines} (`semloop dlq ls`)."
    return f"{EARLIER}: {lines}. To drop them: {RESOLVE} {name}"
