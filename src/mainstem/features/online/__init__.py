"""Current features of one key, computed from its events in an online store."""
