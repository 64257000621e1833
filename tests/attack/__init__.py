"""Attacks on the real command line and server. Slow: `pytest -m slow tests/attack`."""
