"""Positions of the flows, and their backlog in Kafka."""
