"""Algorithms by name. Each kind has a module."""

from mainstem.models.algorithms.base import Algorithm, Estimator
from mainstem.models.algorithms.candidates import Candidate, candidate, candidates, check, plain, usual
from mainstem.models.algorithms.registry import ALGORITHMS, algorithm, check_name, register
from mainstem.models.algorithms.settings import Choice, Declared, Range, Space, setting
from mainstem.models.algorithms.spaces import among

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Candidate",
    "Choice",
    "Declared",
    "Estimator",
    "Range",
    "Space",
    "algorithm",
    "among",
    "candidate",
    "candidates",
    "check",
    "check_name",
    "plain",
    "register",
    "setting",
    "usual",
]
