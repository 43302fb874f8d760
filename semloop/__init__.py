"""SemLoop: agent events in Kafka become SQL history and searchable memory.

`from semloop import Lake` queries a lake. Importing this package is cheap: each name
is loaded when it is first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semloop.lake import Lake

__all__ = ["Lake", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "Lake":
        from semloop.lake import Lake

        return Lake
    msg = f"module 'semloop' has no attribute {name!r}"
    raise AttributeError(msg)
