"""Configuration, errors and topic administration shared by all our Kafka clients."""
