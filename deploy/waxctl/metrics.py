"""The flow `metrics`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.metrics import flow

__all__ = ["flow"]
