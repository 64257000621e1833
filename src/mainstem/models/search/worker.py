"""A process that fits candidates for a search. It gets the address of the search, and the key on its input."""

from __future__ import annotations

import sys
from multiprocessing.connection import Client
from time import perf_counter
from typing import Any

from mainstem.errors import ModelError
from mainstem.models.algorithms import Candidate
from mainstem.models.algorithms.base import work
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.evaluation.fitting import fitted, scored


def main() -> None:
    """Fit what is asked for until the link is closed."""
    key = bytes.fromhex(sys.stdin.readline().strip())
    with Client(sys.argv[1], authkey=key) as link:
        folds = link.recv()
        while True:
            try:
                candidate, number = link.recv()
            except EOFError:
                return
            try:
                answer: Any = "done", fit(candidate, *folds[number - 1])
            except ModelError as problem:
                answer = "failed", problem.parts
            link.send(answer)


def fit(candidate: Candidate, past: Examples, future: Rows) -> Any:
    """Return the scores of the future, what the fit found, how long it took, and the work of a score."""
    began = perf_counter()
    found = fitted(candidate, past)
    scores = scored(candidate.name, found, future, past)
    seconds = perf_counter() - began
    return scores, {name: float(value) for name, value in found.settings.items()}, seconds, work(found)


if __name__ == "__main__":
    main()
