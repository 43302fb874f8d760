"""The embedded stack: a broker and the flows in the background, under a supervisor.

`state` is what it leaves in the lake, `broker` the Kafka-protocol broker, `child` a
process that is started again when it dies, `supervisor` the one process above them.
"""
