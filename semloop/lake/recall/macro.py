"""`recall` as a table macro of DuckDB, and `embed` as a function.

The macro calls one function, which returns the hits as JSON: DuckDB has no table
functions in Python, and converting a list of structs takes a hundred times as long.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from semloop.lake.recall.engine import RecallEngine

MACRO = Path(__file__).with_name("macro.sql")
# Arguments of `recall` after the query, with their defaults in SQL.
ARGUMENTS = {
    "k": "10",
    "agent": "NULL",
    "namespace": "NULL",
    "session": "NULL",
    "user": "NULL",
    "kind": "NULL",
    "since": "NULL",
    "min_reward": "NULL",
    "half_life": "NULL",
    "words": "true",
    "max_tokens": "NULL",
}
VARCHAR = "VARCHAR"


class Response(msgspec.Struct, frozen=True):
    """What the function returns, as JSON: the hits, or the text of an error."""

    error: str | None = None
    hits: list[dict[str, Any]] = []


def define(
    connection: "DuckDBPyConnection", engine: "Callable[[], RecallEngine]"
) -> None:
    """Create `recall` and `embed` in a database.

    Args:
        connection: a connection to the database.
        engine: returns the engine of the lake; called when a query needs it.
    """

    def hits(arguments: str) -> str:
        try:
            response = Response(hits=_hits(engine(), msgspec.json.decode(arguments)))
        except Exception as error:
            # Only the text: DuckDB would add a traceback of our code.
            response = Response(str(error))
        return msgspec.json.encode(response).decode()

    def vector(text: str) -> str:
        return str(engine().vector(text).tolist())

    # Arguments and results are JSON: DuckDB may read the strings of Arrow arrays after
    # their memory was freed (its issue 20606), and Python values take seconds to
    # convert. Without side effects, it would also call functions while planning.
    for name, function in (("memory_hits", hits), ("memory_vector", vector)):
        connection.create_function(
            name, function, [VARCHAR], VARCHAR, side_effects=True
        )
    parameters = ", ".join(f'"{name}" := {v}' for name, v in ARGUMENTS.items())
    body = MACRO.read_text("utf-8")
    connection.execute(f"CREATE MACRO recall(query, {parameters}) AS TABLE {body}")
    connection.execute("CREATE MACRO embed(text) AS memory_vector(text)::FLOAT[]")


def _hits(engine: "RecallEngine", arguments: dict[str, Any]) -> list[dict[str, Any]]:
    from semloop.lake.recall.request import RecallRequest

    request = RecallRequest.of(arguments, datetime.now(UTC))
    return _rows(engine.recall(request))


def _rows(found: "pa.Table") -> list[dict[str, Any]]:
    """Return the hits with values that JSON has; the macro restores their types."""
    import pyarrow as pa

    times = found["ts"].cast(pa.int64())
    found = found.set_column(found.column_names.index("ts"), "ts", times)
    rows: list[dict[str, Any]] = found.to_pylist()
    for row in rows:
        row["id"] = row["id"].hex()
    return rows
