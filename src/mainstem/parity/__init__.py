"""Logged online reads, recomputed offline and compared."""
