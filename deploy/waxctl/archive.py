"""The flow `archive`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.archive import flow

__all__ = ["flow"]
