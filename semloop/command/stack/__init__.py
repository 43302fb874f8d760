"""The embedded stack, and restarting of processes that die.

`supervisor` is the parent process of the stack, `child` one of its processes, `broker`
the Kafka-protocol broker, `state` the files that the stack keeps in the lake. `cluster`
is the parent process of a flow that runs in several processes, each a `member`.
"""
