"""Kafka records, one Arrow batch per poll."""
