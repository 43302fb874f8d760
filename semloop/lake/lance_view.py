"""The stored memories as a DuckDB view, by the lance extension.

Only a query that names memories asks the store for their current generation. `recall`
does not need the extension.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from semloop import tables
from semloop.extras import extension
from semloop.lake import generations
from semloop.sql_text import quoted
from semloop.storage.object_store import lance_options, without_keys

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from semloop.lake.recall.episodes import Position
    from semloop.storage.location import Storage

NAMED = re.compile(r"\bmemories\b", re.IGNORECASE)
# Columns that only recall reads are in other forms in older tables.
SHOWN = {c: t for c, t in tables.MEMORIES.items() if c not in {"features", "words"}}
# Error of a query that reads the view before the extension is loaded.
UNLOADED = "Memories are loaded by a query of Lake.sql that names them."


def names_memories(query: str) -> bool:
    """Return True if a query may read memories; literals and comments do not count."""
    if not NAMED.search(query):
        return False
    import duckdb

    try:
        names = _parser().get_table_names(query)
    except duckdb.Error:
        # DuckDB lists no names for several statements or for our own functions.
        return True
    return any(name.lower() == "memories" for name in names)


@functools.cache
def _parser() -> "DuckDBPyConnection":
    """A database without views: with ours, DuckDB would name the tables below them."""
    import duckdb

    return duckdb.connect()


def empty_view(name: str, *, loaded: bool) -> str:
    """Return the statement for the view without memories, or before they are loaded."""
    columns = ", ".join(f"NULL::{t} AS {c}" for c, t in SHOWN.items())
    end = "LIMIT 0" if loaded else f"WHERE error({quoted(UNLOADED)}) IS NULL"
    return f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} {end}"


def generation_view(name: str, storage: "Storage", generation: int) -> str:
    """Return the statement for the view on a generation."""
    url = (
        f"{storage.uri(generations.FOLDER)}/{generations.table_name(generation)}.lance"
    )
    columns = ", ".join(SHOWN)
    select = f"SELECT {columns} FROM {quoted(url)}"  # noqa: S608 - names of ours
    return f"CREATE OR REPLACE VIEW {name} AS {select}"


def positions_view(name: str, positions: "Sequence[Position]") -> str:
    """Return the statement for the view on how far memories are visible."""
    rows = [f"({quoted(topic)}, {', '.join(map(str, n))})" for topic, *n in positions]
    source = f"VALUES {', '.join(rows)}" if rows else "SELECT '', 0, 0, 0 LIMIT 0"
    columns = "topic_id, kafka_partition, last_offset, expired_offset"
    select = f"SELECT * FROM ({source}) AS rows ({columns})"  # noqa: S608 - of ours
    return f"CREATE OR REPLACE VIEW {name} AS {select}"


def load_statements(storage: "Storage", *, reveal: bool) -> list[str]:
    """Return the statements that let a DuckDB read this lake's Lance tables.

    Args:
        storage: the lake.
        reveal: True to include static keys; without keys Lance reads the AWS chain.
    """
    statements = [f"LOAD {quoted(extension('lance'))}"]
    if storage.on_s3:
        options = storage.options if reveal else without_keys(storage.options)
        statements.append(_secret(storage.root, options))
    return statements


def _secret(root: str, options: Mapping[str, str]) -> str:
    """Return the statement for the extension's secret, with Lance's options."""
    lance = lance_options(options)
    pairs = ", ".join(f"{quoted(name)}: {quoted(v)}" for name, v in lance.items())
    return (
        f"CREATE OR REPLACE SECRET semloop_lance (TYPE lance, PROVIDER config, "
        f"SCOPE {quoted(root + '/')}, STORAGE_OPTIONS MAP {{{pairs}}})"
    )
