"""Preprocess free texts by their terms: components of TF-IDF, a score of the target out of fold, or hashed terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import MissingExtra
from mainstem.models.data.rows import Examples, Matrix, Strings
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.base import APART
from mainstem.models.preprocessing.means import FOLDS, folds_of
from mainstem.models.preprocessing.terms import Terms
from mainstem.nodes.prepare import HashedWords, Tfidf

PENALTY = 1.0
"""The penalty of the ridge regression on terms. Rows have the length 1, so it does not depend on their number."""

MOST_SCORES = 20
"""Classes beyond which the score is left out: it would be a regression and a column for each."""

GRID = 2.0**20
"""The columns are multiples of 1 / GRID. Sums in another order differ in the last digits: of texts that are alike, a
tree would learn to tell these digits apart, and its artifact would score otherwise."""

Wide = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Column:
    """One text: its terms, their weights [V], and what each adds to the columns [V, C]. `centre` and `scale` [C]
    standardise. Where `bounded`, a column is 1 if a text has any of its terms, else 0."""

    terms: Terms
    weights: NDArray[np.float32]
    projection: Wide
    centre: Wide
    scale: Wide
    done: str
    bounded: bool = False

    @property
    def width(self) -> int:
        return int(self.projection.shape[1])

    def transform(self, strings: Strings) -> Matrix:
        rows = _sparse(self.terms, self.weights, strings)
        found = np.asarray(rows @ self.projection)
        if self.bounded:
            return np.asarray(found > 0, np.float32)
        return _rounded((found / _lengths(rows)[:, None] - self.centre) * self.scale)

    def onnx(self, builder: Builder, strings: str) -> str:
        terms = builder.cast(self.terms.onnx(builder, strings, self.weights), "DOUBLE")
        found = builder.add("MatMul", terms, builder.constant(self.projection))
        if self.bounded:
            return builder.cast(builder.add("Greater", found, builder.constant(np.array(0.0))), "FLOAT")
        squares = builder.add("ReduceSumSquare", terms, builder.constant(np.array([1], np.int64)), keepdims=1)
        one = builder.constant(np.array(1.0))
        empty = builder.add("Equal", squares, builder.constant(np.array(0.0)))
        length = builder.add("Where", empty, one, builder.add("Sqrt", squares))
        away = builder.add("Sub", builder.add("Div", found, length), builder.constant(self.centre))
        grid = builder.constant(np.array(GRID))
        steps = builder.add("Round", builder.add("Mul", away, builder.constant(self.scale * GRID)))
        return builder.cast(builder.add("Div", steps, grid), "FLOAT")


@dataclass(frozen=True, eq=False)
class Words:
    """Some texts, each with its columns."""

    columns: tuple[Column, ...]
    offset: int

    @classmethod
    def tfidf(cls, examples: Examples, columns: Sequence[int], step: Tfidf) -> tuple[Words, Matrix]:
        """Return the fitted texts, and the columns of the training rows, whose score is out of fold."""
        fitted = _FITTED.setdefault(examples, {})
        for j in columns:
            if (j, step) not in fitted:
                fitted[j, step] = _reduced(examples, j, step)
        found = [each for j in columns if (each := fitted[j, step]) is not None]
        matrices = [np.empty((len(examples), 0), np.float32), *(matrix for _, matrix in found)]
        return cls(tuple(column for column, _ in found), examples.rows.floats.shape[1]), np.hstack(matrices)

    @classmethod
    def hashing(cls, strings: Strings, offset: int, columns: Sequence[int], step: HashedWords) -> Self:
        found = []
        for j in columns:
            terms, _ = _terms(strings, j, step)
            if not len(terms):
                continue
            buckets = [_bucket(term, step.buckets) for term in terms.spelled]
            projection = np.zeros((len(terms), step.buckets))
            projection[np.arange(len(terms)), buckets] = 1
            done = f"{_counted(terms, step)} hashed to {step.buckets:,} columns"
            plain = np.zeros(step.buckets), np.ones(step.buckets)
            found.append(Column(terms, np.ones(len(terms), np.float32), projection, *plain, done, bounded=True))
        return cls(tuple(found), offset)

    @property
    def origins(self) -> tuple[int, ...]:
        return tuple(self.offset + each.terms.column for each in self.columns for _ in range(each.width))

    @property
    def rising(self) -> tuple[int, ...]:
        return (APART,) * len(self.origins)

    def transform(self, floats: Matrix, strings: Strings) -> Matrix:
        found = [each.transform(strings) for each in self.columns]
        return np.hstack(found) if found else np.empty((len(strings), 0), np.float32)

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        return builder.concat([each.onnx(builder, strings) for each in self.columns])

    def told(self) -> dict[int, str]:
        return {self.offset + each.terms.column: each.done for each in self.columns}


_FITTED: WeakKeyDictionary[Examples, dict[tuple[int, Tfidf], tuple[Column, Matrix] | None]] = WeakKeyDictionary()
"""What was fitted on a fold's rows: its candidates and trials share it."""


def _terms(strings: Strings, column: int, step: Tfidf | HashedWords) -> tuple[Terms, NDArray[np.int64]]:
    return Terms.fit(
        strings[:, column],
        column,
        most=step.terms,
        length=step.ngrams,
        rare=min(step.rare, len(strings)),
        characters=step.characters,
    )


def _reduced(examples: Examples, column: int, step: Tfidf) -> tuple[Column, Matrix] | None:
    """Return a fitted text and its columns of the training rows; None if no term is in enough of them."""
    strings = examples.rows.strings
    terms, counts = _terms(strings, column, step)
    if not len(terms):
        return None
    # The smoothed form of scikit-learn: a term of all texts has the weight 1.
    weights = (1 + np.log((1 + len(strings)) / (1 + counts))).astype(np.float32)
    rows = _sparse(terms, weights, strings)
    unit = rows.multiply(1 / _lengths(rows)[:, None]).tocsr()
    parts, values = [], []
    components = _components(unit, step.components, examples.seed)
    parts.append(components)
    values.append(unit @ components)
    scored = step.score and examples.targets.shape[1] <= MOST_SCORES
    if scored:
        full, out = _scores(unit, examples)
        parts.append(full)
        values.append(out)
    projection, matrix = np.hstack(parts), np.hstack(values)
    centre, spread = matrix.mean(0), matrix.std(0)
    scale = 1 / np.where(spread <= np.maximum(1e-6 * np.abs(centre), 1e-30), 1.0, spread)
    each = [f"{components.shape[1]} components"] if components.shape[1] else []
    each += ["a score of the target out of fold"] if scored else []
    done = f"TF-IDF of {_counted(terms, step)}, {' and '.join(each)}"
    found = Column(terms, weights, projection, centre, scale, done)
    return found, _rounded((matrix - centre) * scale)


def _rounded(matrix: Wide) -> Matrix:
    return np.asarray(np.round(matrix * GRID) / GRID, np.float32)


def _counted(terms: Terms, step: Tfidf | HashedWords) -> str:
    kind = "character" if step.characters else "word"
    kinds = f"{kind}s" if step.ngrams == 1 else f"sequences of at most {step.ngrams} {kind}s"
    return f"{len(terms):,} {kinds}"


def _sparse(terms: Terms, weights: NDArray[np.float32], strings: Strings) -> Any:
    """Return the weights of terms [n, V] as a sparse float64 matrix."""
    found, row = terms.of(strings[:, terms.column])
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(strings)))])
    sparse = _imported("scipy.sparse")
    return sparse.csr_matrix((weights[found].astype(np.float64), found, starts), (len(strings), len(terms)))


def _lengths(rows: Any) -> Wide:
    """Return the length of each row; 1 of an empty one."""
    squares = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    return np.where(squares == 0, 1.0, np.sqrt(squares))


def _components(unit: Any, count: int, seed: int) -> Wide:
    """Return the leading right singular vectors [V, C]."""
    count = min(count, min(unit.shape) - 1)
    if count < 1 or not unit.nnz:
        return np.empty((unit.shape[1], 0))
    extmath = _imported("sklearn.utils.extmath")
    with _imported("threadpoolctl").threadpool_limits(1):
        _, strengths, found = extmath.randomized_svd(unit, count, n_iter=4, random_state=seed)
    return np.asarray(found[strengths > 1e-9 * max(strengths[0], 1e-30)].T)


def _scores(unit: Any, examples: Examples) -> tuple[Wide, Wide]:
    """Return what terms say of the target [V, T], and the same of each training row [n, T] by the other folds."""
    targets, fold = examples.targets, folds_of(examples)
    weights = np.ones(len(targets)) if examples.weights is None else examples.weights
    found = np.zeros_like(targets)
    for number in range(FOLDS):
        held, others = fold == number, fold != number
        if held.any() and others.any():
            found[held] = unit[held] @ _ridge(unit[others], targets[others], weights[others])
    return _ridge(unit, targets, weights), found


def _ridge(unit: Any, targets: Wide, weights: NDArray[np.float64]) -> Wide:
    linear_model = _imported("sklearn.linear_model")
    # Scores are distances from the mean of the fold that fitted them: the mean itself would tell the fold.
    away = targets - np.average(targets, axis=0, weights=weights)
    with _imported("threadpoolctl").threadpool_limits(1):
        model = linear_model.Ridge(alpha=PENALTY, fit_intercept=False, solver="sparse_cg")
        found = model.fit(unit, away, weights)
    return np.asarray(found.coef_, float).reshape(targets.shape[1], -1).T


def _bucket(term: str, buckets: int) -> int:
    """Return a bucket that is the same in every process."""
    return int.from_bytes(blake2b(term.encode(), digest_size=8).digest(), "big") % buckets


def _imported(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra.named("learn", "scikit-learn") from None
