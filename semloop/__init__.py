"""SemLoop: agent events in Kafka become SQL history and searchable memory.

`from semloop import Agent` emits events, `from semloop import Lake` queries a lake,
`from semloop import as_prompt` renders recalled memories for a model.
Importing this package is cheap: each name is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semloop.agent.agent import Agent, feedback
    from semloop.agent.tool import tool
    from semloop.lake.lake import Lake
    from semloop.lake.prompt import as_prompt
    from semloop.rows.dual_write import dual_write

__all__ = [
    "Agent", "Lake", "__version__", "as_prompt", "dual_write", "feedback", "tool",
]  # fmt: skip
__version__ = "0.1.0"
_MODULES = {
    "Agent": "agent.agent",
    "Lake": "lake.lake",
    "as_prompt": "lake.prompt",
    "dual_write": "rows.dual_write",
    "feedback": "agent.agent",
    "tool": "agent.tool",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(f"semloop.{_MODULES[name]}"), name)
    msg = f"module 'semloop' has no attribute {name!r}"
    raise AttributeError(msg)
