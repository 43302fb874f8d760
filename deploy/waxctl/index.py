"""The flow `index`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.index import flow

__all__ = ["flow"]
