"""The small project, for the tests of features."""

from small_project import small, world

__all__ = ["small", "world"]
