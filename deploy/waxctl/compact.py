"""The flow `compact`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.compact import flow

__all__ = ["flow"]
