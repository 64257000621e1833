"""Algorithms by name. Each kind has a module."""

from mainstem.models.algorithms.registry import ALGORITHMS, algorithm, check_name, register

__all__ = ["ALGORITHMS", "algorithm", "check_name", "register"]
