"""The flow `memory`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.memory import flow

__all__ = ["flow"]
