"""`ms.similar`: texts that are joined although they are written differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ibis

from mainstem.graph.named import named
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import column, fraction, integer, optional
from mainstem.tables.keys import Keys, pairs

MATCH = "_match"
"""The most similar text of the right side, while a join is made."""

PAIRS = 10_000_000
"""Pairs of texts that a join compares unless it allows more: a few seconds."""


@dataclass(frozen=True)
class Similar:
    """Match each text to the most similar one of another column."""

    left: str
    right: str | None
    at_least: float
    block: Keys | None
    most_pairs: int
    score: str | None


def _block(name: str, value: Keys) -> None:
    pairs(name, value)


@declared(
    left=column,
    right=optional(column),
    at_least=fraction,
    block=optional(_block),
    most_pairs=integer(1),
    score=optional(column),
)
def similar(
    left: str,
    right: str | None = None,
    *,
    at_least: float = 0.85,
    block: Keys | None = None,
    most_pairs: int = PAIRS,
    score: str | None = None,
) -> Similar:
    """Join on texts that are alike: `ms.join(a, b, on=ms.similar("name", "company", block="country"))`.

    Each left text is matched to the most similar right text, if that is at least `at_least` similar; of equally similar
    ones to the first in alphabetical order. The similarity is 1 minus the Levenshtein distance of the texts in lower
    case, divided by the length of the longer one; both are counted in bytes of UTF-8. Only texts whose `block` columns
    agree are compared. The run fails before it compares more than `most_pairs` pairs. `score` names a column for the
    similarity.
    """
    return Similar(left, right, at_least, block, most_pairs, score)


class Matched(NamedTuple):
    """The left rows with the column `_match`, and a relation of one row: how many `pairs` were compared."""

    rows: ibis.Table
    compared: ibis.Table


def matched(
    left: ibis.Table, right: ibis.Table, text: tuple[str, str], block: Sequence[tuple[str, str]], how: Similar
) -> Matched:
    """Return the left rows with the most similar text of the right side."""
    places = [f"_block{number}" for number in range(len(block))]
    ours = _texts(left, text[0], [mine for mine, _ in block], "_text", places)
    theirs = _texts(right, text[1], [yours for _, yours in block], MATCH, places)
    both = ours.inner_join(theirs, places) if places else ours.cross_join(theirs)
    scored = both.mutate(_score=_similarity(both["_text"], both[MATCH]))
    close = scored.filter(scored["_score"] >= how.at_least)
    window = ibis.window(group_by=["_text", *places], order_by=[close["_score"].desc(), close[MATCH]])
    ranked = close.mutate(_rank=ibis.row_number().over(window))
    best = ranked.filter(ranked["_rank"] == 0).select("_text", *places, MATCH, "_score")
    keys = [(text[0], "_text"), *((mine, place) for (mine, _), place in zip(block, places, strict=True))]
    rows = left.left_join(best, keys).drop("_text", *places)
    scores = rows.drop("_score") if how.score is None else rows.rename({how.score: "_score"})
    return Matched(scores, _compared(ours, theirs, places))


def _texts(table: ibis.Table, text: str, block: Sequence[str], name: str, places: Sequence[str]) -> ibis.Table:
    columns = {name: table[text], **{place: table[each] for place, each in zip(places, block, strict=True)}}
    return table.select(*named(columns)).drop_null().distinct()


def _compared(ours: ibis.Table, theirs: ibis.Table, places: Sequence[str]) -> ibis.Table:
    by = list(places)
    mine, yours = ours.aggregate(_mine=ours.count(), by=by), theirs.aggregate(_yours=theirs.count(), by=by)
    both = mine.inner_join(yours, by) if by else mine.cross_join(yours)
    return both.aggregate(pairs=(both["_mine"] * both["_yours"]).sum())


@ibis.udf.scalar.builtin(name="strlen")  # type: ignore[untyped-decorator]
def _bytes(text: str) -> int:
    """Return the length in bytes, as DuckDB's `levenshtein` counts: of 'é' it is 2."""
    raise NotImplementedError


def _similarity(one: ibis.Value, other: ibis.Value) -> ibis.Value:
    a, b = one.lower(), other.lower()
    longest = ibis.greatest(_bytes(a), _bytes(b))
    return 1 - a.levenshtein(b) / longest.nullif(0)
