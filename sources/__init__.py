"""Where records come from: files and chat transcripts, Kafka, and tables of the lake.

Sources hand on bytes and interpret as little as they can: a record that is not an event
passes through and becomes a dead letter, where it can be seen, fixed and replayed.
"""
