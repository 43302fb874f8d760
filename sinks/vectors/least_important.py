"""Which memories of a namespace are beyond the number of those that are kept.

The most important ones are kept, of equally important ones the newest.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.compute as pc

from schemas.retention import OTHERS
from semloop.sql_text import quoted

if TYPE_CHECKING:
    from lancedb.table import Table

# Of a memory without importance, in the middle between those that have one.
UNKNOWN = 0.5
ORDER = (("rank", "descending"), ("kafka_ts", "descending"), ("id", "descending"))
RANK = f"coalesce(importance, {UNKNOWN})"


class Key(NamedTuple):
    """What the memories of a namespace are ordered by."""

    rank: float
    kafka_ts: datetime
    id: bytes


def least_important(
    table: "Table", counts_max: Mapping[str, int], condition: str
) -> str:
    """Return the condition, in Lance's SQL, of the memories that are too many.

    It compares their columns with those of one memory. So of those that are written
    meanwhile, it selects none that is more important than what is kept.

    Args:
        table: the memories; 40 bytes of each are read, if a namespace has too many.
        counts_max: namespace -> how many to keep; 0: all.
        condition: which memories go anyway; never NULL.

    Raises:
        OSError, RuntimeError, ValueError: the table cannot be read.
    """
    parts = [
        f"({_is(namespace)} AND {_from(key)})"
        for namespace, key in _first_to_go(table, counts_max, condition)
    ]
    return f"coalesce({' OR '.join(parts)}, false)" if parts else "false"


def _first_to_go(
    table: "Table", counts_max: Mapping[str, int], condition: str
) -> Iterator[tuple[str, Key]]:
    """Yield the namespaces with too many memories, and the first one that goes."""
    for namespace in _namespaces(table, counts_max):
        count = counts_max.get(namespace, counts_max.get(OTHERS, 0))
        where = f"{_is(namespace)} AND NOT {condition}"
        if not count or table.count_rows(where) <= count:
            continue
        query: Any = table.search().where(where)
        columns = {"rank": RANK, "kafka_ts": "kafka_ts", "id": "id"}
        rows = query.select(columns).to_arrow()
        if len(rows) > count:
            best = pc.select_k_unstable(rows, count + 1, list(ORDER))
            (found,) = rows.take(best[count:]).to_pylist()
            yield namespace, Key(**found)


def _namespaces(table: "Table", counts_max: Mapping[str, int]) -> list[str]:
    if OTHERS not in counts_max:
        return sorted(counts_max)
    query: Any = table.search().select(["namespace"])
    found = pc.unique(query.to_arrow()["namespace"]).to_pylist()
    return sorted(name for name in found if name is not None)


def _is(namespace: str) -> str:
    return f"coalesce(namespace = {quoted(namespace)}, false)"


def _from(key: Key) -> str:
    """Return the condition of a memory and of all that come after it."""
    moment = f"timestamp '{key.kafka_ts.isoformat()}'"
    after = f"kafka_ts < {moment} OR (kafka_ts = {moment} AND id <= X'{key.id.hex()}')"
    return f"({RANK} < {key.rank!r} OR ({RANK} = {key.rank!r} AND ({after})))"
