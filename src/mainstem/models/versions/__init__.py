"""Versions of models, and their cards."""
