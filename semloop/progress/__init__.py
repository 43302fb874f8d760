"""How far each flow is, and what Kafka still holds beyond that."""
