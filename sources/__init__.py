"""Readers of files and chat transcripts, Kafka topics, and tables of the lake.

Sources pass bytes on and interpret as little as possible: a record that is not an event
passes through and becomes a dead letter, which can be inspected and fixed.
"""
