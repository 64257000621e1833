"""What reads Kafka topics, for runs and for the server: the client, positions, and messages as records."""
