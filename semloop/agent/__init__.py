"""The producer side: `Agent` on top, then events, queue, sender, spool.

It loads neither torch, pyarrow, pydantic nor bytewax, and Kafka's client only in its
own thread.
"""
