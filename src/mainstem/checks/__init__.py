"""Data-quality checks, compiled, and the audit that sets violating rows aside."""
