"""Rows and labels as numbers and texts."""
