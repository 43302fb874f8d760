"""Kafka records as Arrow batches, one per poll."""
