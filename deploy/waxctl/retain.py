"""The flow `retain`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.retain import flow

__all__ = ["flow"]
