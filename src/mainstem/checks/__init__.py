"""Data-quality checks, compiled, and the write-audit of what violates them."""
