"""Features of one key as they stand now, from its events in an online store."""
