"""What commands that look something up in the lake share."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from semloop.command.terminal.output import Row, visible
from semloop.errors import ConfigError
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.errors import translate
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

# Rows that are held as Python values at a time.
FETCH_ROWS = 2_000
# Of many ids that begin alike a person needs an idea only.
LISTED_MAX = 5
# The order of events, in SQL. Within a partition it is that of the offsets, whatever
# the clocks of producers say; partitions are merged by the newest time met so far.
ARRIVED = (
    "max(kafka_ts) OVER (PARTITION BY topic_id, kafka_partition ORDER BY kafka_offset)"
)
ORIGIN = "topic_id, kafka_partition, kafka_offset"
IN_ORDER = f"{ARRIVED}, {ORIGIN}"

# Whether an event tells of a failure, in SQL.
FAILED = (
    "type = 'error' OR status IS NOT DISTINCT FROM 'error'"
    " OR outcome IS NOT DISTINCT FROM 'failure'"
)
# What it says: the text begins with tool and status, or the outcome, but has no role.
SAID = "concat(role || ': ', text)"


@contextmanager
def opened(settings: Settings) -> Iterator[Lake]:
    """The lake, whose troubles are told as those of every command.

    Raises:
        LakeError: there is none, or it cannot be read. StorageUnavailable: not now.
    """
    import duckdb

    with Lake(settings=settings) as lake:
        try:
            yield lake
        except duckdb.IOException as error:
            storage = Storage.of(settings)
            raise translate(storage, "read the lake", error) from error
        except RuntimeError:
            # DuckDB's threads go on all the same, and closing it waits for them.
            lake.connection.interrupt()
            raise


def one_line(text: str | None) -> str:
    """A text that stays on its line and cannot steer the terminal."""
    return " ".join(visible(text).split()) if text else ""


def one_of(given: str, names: Sequence[str], what: str) -> str:
    """A name that the user gave, if it is one of those there are.

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


def rows_of(relation: "DuckDBPyRelation") -> Iterator[Row]:
    """The rows of an answer; they are fetched as they are needed."""
    while rows := relation.fetchmany(FETCH_ROWS):
        yield from rows


def full_id(lake: Lake, view: str, column: str, begin: str, what: str) -> str | None:
    """The one id that is `begin` or begins with it; None if there is none.

    Args:
        lake: where it is looked for.
        view: view whose column holds the ids.
        column: that column.
        begin: the id or its first characters.
        what: what such ids name, in the plural, for the error.

    Raises:
        ConfigError: several begin with it.
    """
    query = (
        f"SELECT {column}, count(*) OVER () FROM {view} "  # noqa: S608 - ours
        f"WHERE starts_with({column}, ?) GROUP BY 1 "
        f"ORDER BY {column} = ? DESC, 1 LIMIT {LISTED_MAX}"
    )
    found = lake.sql(query, [begin, begin]).fetchall()
    if not found:
        return None
    first, count = found[0]
    if first == begin or count == 1:
        return str(first)
    listed = ", ".join(visible(str(name)) for name, _ in found)
    end = ", ..." if count > len(found) else "."
    msg = f"{count:,} {what} begin with {begin!r}: {listed}{end}"
    raise ConfigError(msg, "Give more of it.")
