"""The small project, for the tests of parity."""

from small_project import small, world

__all__ = ["small", "world"]
