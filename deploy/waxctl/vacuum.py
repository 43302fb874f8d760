"""The flow `vacuum`, as `waxctl dataflow deploy` takes it: docs/deploying.md."""

from flows.vacuum import flow

__all__ = ["flow"]
