"""The stored memories as a view of DuckDB, by its lance extension.

The extension takes a second to load, so that is done by the first query that names
memories. `recall` needs no extension.
"""

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from semloop import tables
from semloop.extras import extension
from semloop.lake import generations
from semloop.sql_text import quoted
from semloop.storage.object_store import lance_options, without_keys

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from semloop.storage.location import Storage

NAMED = re.compile(r"\bmemories\b", re.IGNORECASE)
# What a query learns that reaches the view by another way.
UNLOADED = "Memories are loaded by a query of Lake.sql that names them."


def names_memories(query: str) -> bool:
    """Whether a query may read memories: literals and comments do not."""
    if not NAMED.search(query):
        return False
    import duckdb

    try:
        names = _parser().get_table_names(query)
    except duckdb.Error:
        # Of several statements, or of functions of ours, DuckDB does not say.
        return True
    return any(name.lower() == "memories" for name in names)


@functools.cache
def _parser() -> "DuckDBPyConnection":
    """A database without views: in ours, DuckDB would name what is below a view."""
    import duckdb

    return duckdb.connect()


def empty(name: str, *, loaded: bool) -> str:
    """The statement for the view while there are no memories, or none are loaded."""
    columns = ", ".join(f"NULL::{t} AS {c}" for c, t in tables.MEMORIES.items())
    end = "LIMIT 0" if loaded else f"WHERE error({quoted(UNLOADED)}) IS NULL"
    return f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} {end}"


def stored(name: str, storage: "Storage", generation: int) -> str:
    """The statement for the view over a generation."""
    url = (
        f"{storage.uri(generations.FOLDER)}/{generations.table_name(generation)}.lance"
    )
    columns = ", ".join(tables.MEMORIES)
    select = f"SELECT {columns} FROM {quoted(url)}"  # noqa: S608 - names of ours
    return f"CREATE OR REPLACE VIEW {name} AS {select}"


def loading(storage: "Storage", *, reveal: bool) -> list[str]:
    """The statements that let a DuckDB read this lake's Lance tables.

    Args:
        storage: the lake.
        reveal: with its static keys; without keys Lance reads the AWS chain.
    """
    statements = [f"LOAD {quoted(extension('lance'))}"]
    if storage.on_s3:
        options = storage.options if reveal else without_keys(storage.options)
        statements.append(_secret(storage.root, options))
    return statements


def _secret(root: str, options: Mapping[str, str]) -> str:
    """The extension has secrets of its own kind, in Lance's words."""
    found = lance_options(options)
    pairs = ", ".join(f"{quoted(name)}: {quoted(v)}" for name, v in found.items())
    return (
        f"CREATE OR REPLACE SECRET semloop_lance (TYPE lance, PROVIDER config, "
        f"SCOPE {quoted(root + '/')}, STORAGE_OPTIONS MAP {{{pairs}}})"
    )
