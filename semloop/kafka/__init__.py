"""How all clients of ours talk to Kafka: producers, consumers, admin clients."""
