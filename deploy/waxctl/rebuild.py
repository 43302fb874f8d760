"""The flow `rebuild`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.rebuild import flow

__all__ = ["flow"]
