"""Helpers of the commands that query the lake."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from semloop.command.terminal.output import Row
from semloop.errors import ConfigError
from semloop.escaping import visible
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.errors import translate
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

# Rows that are fetched as Python values at a time.
FETCH_ROWS = 2_000
# Maximum number of ids in an error message.
LISTED_MAX = 5
# Order of events, in SQL. Within a partition events are ordered by offset, independent
# of producer clocks; partitions are merged by the running maximum of the timestamps.
ARRIVAL_TIME = (
    "max(kafka_ts) OVER (PARTITION BY topic_id, kafka_partition ORDER BY kafka_offset)"
)
ORIGIN = "topic_id, kafka_partition, kafka_offset"
IN_ORDER = f"{ARRIVAL_TIME}, {ORIGIN}"

# Condition for an event that reports a failure, in SQL.
FAILED = (
    "type = 'error' OR status IS NOT DISTINCT FROM 'error'"
    " OR outcome IS NOT DISTINCT FROM 'failure'"
)
# Text of an event with its role, in SQL; the column `text` does not contain the role.
TEXT_WITH_ROLE = "concat(role || ': ', text)"


@contextmanager
def open_lake(settings: Settings) -> Iterator[Lake]:
    """Open the lake; storage errors of DuckDB are raised as SemLoop errors.

    Raises:
        LakeError: the lake does not exist or cannot be read.
        StorageUnavailable: the store is temporarily unavailable.
    """
    import duckdb

    with Lake(settings=settings) as lake:
        try:
            yield lake
        except duckdb.IOException as error:
            storage = Storage.of(settings)
            raise translate(storage, "read the lake", error) from error
        except RuntimeError:
            # Otherwise DuckDB's threads keep running, and closing waits for them.
            lake.interrupt()
            raise


def require_choice(given: str, names: Sequence[str], what: str) -> str:
    """Return a name given by the user if it is one of `names`.

    Raises:
        ConfigError: it is not.
    """
    if given in names:
        return given
    near = difflib.get_close_matches(given.lower(), names, 1)
    todo = f"Did you mean {str(near[0])!r}? " if near else ""
    msg = f"There is no {what} {given!r}."
    raise ConfigError(
        msg, f"{todo}The {what.rpartition(' ')[2]}s are: {', '.join(names)}."
    )


def fetch_rows(relation: "DuckDBPyRelation") -> Iterator[Row]:
    """Yield the rows of a result, fetching them in batches."""
    while rows := relation.fetchmany(FETCH_ROWS):
        yield from rows


def resolve_id(
    lake: Lake,
    view: str,
    column: str,
    prefix: str,
    what: str,
    within: Mapping[str, str] = MappingProxyType({}),
) -> str | None:
    """Return the id that equals `prefix` or is the only one that begins with it.

    None if no id begins with it.

    Args:
        lake: the lake to search.
        view: the view that contains the ids.
        column: the column of the ids.
        prefix: the id or its first characters.
        what: what the ids identify, in the plural, for the error.
        within: {column: value} that the rows must have.

    Raises:
        ConfigError: several ids begin with the prefix.
    """
    conditions = [f"starts_with({column}, ?)", *(f"{name} = ?" for name in within)]
    query = (
        f"SELECT {column}, count(*) OVER () FROM {view} "  # noqa: S608 - ours
        f"WHERE {' AND '.join(conditions)} GROUP BY 1 "
        f"ORDER BY {column} = ? DESC, 1 LIMIT {LISTED_MAX}"
    )
    found = lake.sql(query, [prefix, *within.values(), prefix]).fetchall()
    if not found:
        return None
    first, count = found[0]
    if first == prefix or count == 1:
        return str(first)
    listed = ", ".join(visible(str(name)) for name, _ in found)
    end = ", ..." if count > len(found) else "."
    msg = f"{count:,} {what} begin with {prefix!r}: {listed}{end}"
    raise ConfigError(msg, "Give more characters of the id.")
