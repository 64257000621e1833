"""How a model prepares an input: `ms.prepare.number(scale="log")`, `ms.prepare.hashed(64)`.

A step is a frozen value. What it leaves None follows the algorithm. Models fit steps inside each fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from mainstem.errors import DefinitionError, close_matches
from mainstem.nodes.base import Origin, refused, shown
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import boolean, integer, is_number, optional, word
from mainstem.nodes.kinds import number as a_number

Missing = Literal["median", "mean", "mode"]
Scale = Literal["standard", "min-max", "robust", "log", "quantile", "as-is"]


@dataclass(frozen=True)
class Number:
    """What happens to a number: what stands for a missing one, its scale, and whether a column says that it was
    missing."""

    kind: ClassVar[str] = "number"

    missing: str | float | None = None
    scale: str | None = None
    indicator: bool | None = None


@dataclass(frozen=True)
class OneHot:
    """A column for each of the most frequent `levels` that at least `rare` rows have, and one for all others."""

    kind: ClassVar[str] = "text"

    levels: int | None = None
    rare: int | None = None


@dataclass(frozen=True)
class Ordinal:
    """One column of whole numbers: levels in the order of their smoothed mean target."""

    kind: ClassVar[str] = "text"

    levels: int | None = None
    rare: int | None = None


@dataclass(frozen=True)
class Target:
    """The mean target of each level, cross-fitted on training rows; of several classes a column for each."""

    kind: ClassVar[str] = "text"

    smoothing: float = 20.0
    levels: int = 10_000
    rare: int = 2


@dataclass(frozen=True)
class Hashed:
    """Levels hashed to so many indicator columns, and one for levels that training did not have."""

    kind: ClassVar[str] = "text"

    buckets: int = 64


@dataclass(frozen=True)
class Tfidf:
    """The words of a free text: `components` of their TF-IDF, and their linear `score` of the target out of fold."""

    kind: ClassVar[str] = "text"

    components: int = 32
    score: bool = True
    terms: int = 8_000
    ngrams: int = 2
    rare: int = 2
    characters: bool = False


@dataclass(frozen=True)
class HashedWords:
    """The words of a free text, hashed to so many columns that say whether the text has one of them."""

    kind: ClassVar[str] = "text"

    buckets: int = 128
    terms: int = 20_000
    ngrams: int = 1
    rare: int = 2
    characters: bool = False


Step = Number | OneHot | Ordinal | Target | Hashed | Tfidf | HashedWords

WORDS: dict[str, Step] = {
    **{each: Number(scale=each) for each in get_args(Scale)},
    **{each: Number(missing=each) for each in get_args(Missing)},
    "one-hot": OneHot(),
    "ordinal": Ordinal(),
    "target": Target(),
    "hashed": Hashed(),
    "tfidf": Tfidf(),
    "hashed-words": HashedWords(),
}
"""The steps that have a short name: with the settings that most columns need."""


def _fill(name: str, value: Any) -> None:
    """Require what stands for a missing number: a statistic, or a constant."""
    if is_number(value):
        a_number()(name, value)
    else:
        word(*get_args(Missing))(name, value)


@declared(missing=optional(_fill), scale=optional(word(*get_args(Scale))), indicator=optional(boolean))
def number(
    *, missing: Missing | float | None = None, scale: Scale | None = None, indicator: bool | None = None
) -> Step:
    """Prepare a number. What is None follows the algorithm.

    `missing` is what stands for a missing number: a statistic of the training rows, or a constant. `indicator` adds a
    column that says whether it was missing, if it was in training. `scale`: `standard` (mean 0, deviation 1),
    `min-max` (0 to 1), `robust` (by median and quartiles), `log` (the signed logarithm of 1 + |x|, standardised),
    `quantile` (0 to 1 by the quantiles of training) or `as-is`. Raises `DefinitionError` for another value.
    """
    fill = missing if missing is None or isinstance(missing, str) else float(missing)
    return Number(fill, scale, indicator)


@declared(levels=optional(integer(1)), rare=optional(integer(1)))
def one_hot(levels: int | None = None, *, rare: int | None = None) -> Step:
    """Prepare a text as indicators of its `levels` most frequent levels (100).

    A level with fewer training rows than `rare`, and an unknown one, count among the others. By default `rare` is 20,
    and less in small tables. Raises `DefinitionError` for another value.
    """
    return OneHot(levels, rare)


@declared(levels=optional(integer(1)), rare=optional(integer(1)))
def ordinal(levels: int | None = None, *, rare: int | None = None) -> Step:
    """Prepare a text as one code: its `levels` most frequent levels (250) in the order of their smoothed mean target.

    `rare` is as for `one_hot`. Raises `DefinitionError` for another value.
    """
    return Ordinal(levels, rare)


@declared(smoothing=a_number(0), levels=integer(1), rare=integer(2))
def target(*, smoothing: float = 20.0, levels: int = 10_000, rare: int = 2) -> Step:
    """Prepare a text as the mean target of its level; of several classes, a column for each.

    A training row gets the mean of the other folds' rows, so that it does not see its own target. `smoothing` rows
    with the mean of all are added to each level. An unknown level, one with fewer training rows than `rare`, and one
    that is not among the `levels` most frequent ones get the mean of all. Raises `DefinitionError` for another value.
    """
    return Target(float(smoothing), levels, rare)


@declared(buckets=integer(2))
def hashed(buckets: int = 64) -> Step:
    """Prepare a text as `buckets` indicators, to which its levels are hashed, and one for unknown levels.

    Raises `DefinitionError` for another value.
    """
    return Hashed(buckets)


@declared(
    components=integer(0),
    score=boolean,
    terms=integer(2),
    ngrams=integer(1, 4),
    rare=integer(1),
    characters=boolean,
)
def tfidf(
    *,
    components: int = 32,
    score: bool = True,
    terms: int = 8_000,
    ngrams: int = 2,
    rare: int = 2,
    characters: bool = False,
) -> Step:
    """Prepare a free text by its words, in any case of letters.

    The `terms` most frequent words and sequences of up to `ngrams` words that at least `rare` training rows have are
    weighted by TF-IDF: whether the text has them, by the logarithm of how rare they are. A truncated SVD reduces them
    to `components` columns (0: none). `score` adds what a ridge regression of the target says of them; training rows
    get that of the other folds. `characters` takes sequences of characters for words: for languages without spaces,
    codes and misspelled texts. Raises `DefinitionError` for another value, and for neither components nor a score.
    """
    if not components and not score:
        raise refused("`tfidf` has no columns", "components=0, score=False", "components, or a score, or both")
    return Tfidf(components, score, terms, ngrams, rare, characters)


@declared(buckets=integer(2), terms=integer(2), ngrams=integer(1, 4), rare=integer(1), characters=boolean)
def hashed_words(
    buckets: int = 128, *, terms: int = 20_000, ngrams: int = 1, rare: int = 2, characters: bool = False
) -> Step:
    """Prepare a free text as `buckets` indicators, to which its words are hashed.

    `terms`, `ngrams`, `rare` and `characters` are as for `tfidf`. Raises `DefinitionError` for another value.
    """
    return HashedWords(buckets, terms, ngrams, rare, characters)


def steps(name: str, value: Any) -> None:
    """Require steps by column: a word, or what a function of `ms.prepare` makes."""
    example = f'{name}={{"area": "log", "city": ms.prepare.target()}}'
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key.strip() for key in value):
        raise refused(f"`{name}` must map columns to steps", value, example)
    for column, each in value.items():
        if isinstance(each, str) and each not in WORDS:
            raise DefinitionError(
                f"unknown step {each!r} of the column {column!r}",
                where=str(Origin.of_caller()),
                got=shown(each),
                expected=", ".join(WORDS),
                hint=close_matches(each, WORDS),
            )
        if not isinstance(each, str | Step):
            raise refused(f"the step of the column {column!r} is not one", each, example)


def steps_of(value: Mapping[str, str | Step] | None) -> dict[str, Step]:
    """Return steps by column, with the words spelled out."""
    return {column: WORDS[each] if isinstance(each, str) else each for column, each in (value or {}).items()}
