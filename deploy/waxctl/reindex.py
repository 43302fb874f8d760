"""The flow `reindex`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.reindex import flow

__all__ = ["flow"]
