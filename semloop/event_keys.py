"""Keys of events: an event id is unique within its namespace.

The key of an event is its id, followed by a space and the namespace unless that is the
default one. So two tenants that send the same id store two events.
"""

from typing import TYPE_CHECKING

from semloop.event import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATOR = " "
# The same key as an expression of DuckDB over columns of `events`.
KEY_SQL = (
    f"if(coalesce(namespace, '{DEFAULT_NAMESPACE}') = '{DEFAULT_NAMESPACE}', "
    f"event_id, event_id || '{SEPARATOR}' || namespace)"
)


def event_keys(events: "pa.RecordBatch | pa.Table") -> list[str]:
    """Return the key of each event.

    Args:
        events: rows with `event_id` and `namespace`, both strings.
    """
    import pyarrow.compute as pc

    ids, namespaces = events["event_id"], events["namespace"]
    is_default = pc.fill_null(pc.equal(namespaces, DEFAULT_NAMESPACE), True)
    if not pc.all(is_default).as_py():
        both = pc.binary_join_element_wise(ids, namespaces, SEPARATOR)
        ids = pc.if_else(is_default, ids, both)
    keys: list[str] = ids.to_pylist()
    return keys


def id_of(key: str) -> str:
    """Return the event id of a key; ids contain no space."""
    return key.partition(SEPARATOR)[0]
