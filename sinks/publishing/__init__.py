"""Produces what is in the lake to topics, for subscribers."""
