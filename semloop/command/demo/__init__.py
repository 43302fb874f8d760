"""Implementation of `semloop demo`; start with `agents`, a model for your own agents.

`agents` produces sessions, `crowd` runs several agents concurrently, `broken` sends
invalid records. `folder` is the lake, `stack` the broker and the flows, `audit` checks
that no event was lost, `answers` queries the lake.
"""
