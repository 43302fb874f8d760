"""The producer side: `Agent` on top, then events, queue, sender, spool.

It imports neither torch, pyarrow, pydantic nor bytewax, and the Kafka client only in
its own thread.
"""
