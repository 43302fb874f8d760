"""The embedded stack, and whatever is started again when it dies.

`state` is what the stack leaves in the lake, `broker` the Kafka-protocol broker,
`child` one of its processes, `supervisor` the one process above them. `cluster` is the
process above those that together run a flow, each of them a `member`.
"""
