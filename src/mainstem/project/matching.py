"""Propose lines for the files of `ms.clean.match`: canonical texts that are similar to unknown ones, for review."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis

from mainstem.errors import NotFound, UnknownName
from mainstem.graph.lineage import leaves
from mainstem.nodes.tables import Table
from mainstem.nodes.verbs.matching import HEADER, Match, entries
from mainstem.planning.execution import Context
from mainstem.ports import Session
from mainstem.tables.cleaning import cleaned
from mainstem.tables.fitting import kept


@dataclass(frozen=True)
class Proposal:
    """A text that a file of matches does not have, with the most similar canonical text and its score from 0 to 1.

    `canonical` is empty if none is similar enough.
    """

    file: str
    value: str
    canonical: str
    score: float
    rows: int


def propose(context: Context, name: str, root: Path) -> list[Proposal]:
    """Add a line for every unknown text of a table to its files of matches. Return the new lines, most rows first.

    Lines that a file has are never changed. Raises `NotFound` for a table without `ms.clean.match`.
    """
    tables = context.graph.of(Table)
    if name not in tables:
        raise UnknownName.among("table", name, tables)
    declared = tables[name].clean
    positions = [position for position, verb in enumerate(declared) if isinstance(verb, Match)]
    if not positions:
        raise NotFound(f"{name!r} has no verb ms.clean.match", where=context.graph[name].where)
    definition = context.graph[name]
    assert definition.raw is not None
    statistics = kept(context, name)
    fits = {fit.position: statistics.get(fit.definition) for fit in definition.fits}

    def fitter(position: int, rows: ibis.Table) -> Any:
        found = fits[position]
        if found is None:
            raise NotFound(f"a verb of {name!r} before the match is not fitted yet", hint="mainstem run")
        return found.statistics

    made: list[Proposal] = []
    with context.session(leaves(definition.raw)) as session:
        for position in positions:
            verb: Any = declared[position]
            before = [each.ready() for each in definition.clean[:position]]
            rows = cleaned(definition.raw, before, definition.where, time=tables[name].row_time, fitter=fitter).rows
            path = verb.path(root)
            known = entries(path)
            found = _found(session, rows, verb, {*known, *verb.to})
            _append(path, found)
            made += found
    return made


def _found(session: Session, rows: ibis.Table, verb: Match, known: set[str]) -> list[Proposal]:
    texts = rows.group_by(value=rows[verb.column]).aggregate(rows=rows.count())
    unknown = texts.filter(texts["value"].notnull(), ~texts["value"].isin(sorted(known)))
    canonical = ibis.array(list(verb.to)).unnest().name("canonical")
    pairs = unknown.mutate(canonical=canonical)
    longest = ibis.greatest(pairs["value"].length(), pairs["canonical"].length())
    score = 1 - pairs["value"].lower().levenshtein(pairs["canonical"].lower()) / longest
    scored = pairs.mutate(score=score)
    order = [scored["score"].desc(), scored["canonical"]]
    best = scored.mutate(rank=ibis.row_number().over(ibis.window(group_by="value", order_by=order)))
    chosen = best.filter(best["rank"] == 0).order_by(best["rows"].desc(), best["value"])
    return [
        Proposal(
            verb.file,
            row["value"],
            row["canonical"] if row["score"] >= verb.similarity else "",
            max(round(row["score"], 3), 0.0),
            row["rows"],
        )
        for row in session.fetch(chosen).to_pylist()
    ]


def _append(path: Path, found: Sequence[Proposal]) -> None:
    """Write the file with new lines at its end, at once or not at all."""
    if not found:
        return
    before = path.read_text("utf-8") if path.exists() else ",".join(HEADER) + "\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows((each.value, each.canonical, each.score) for each in found)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(before + ("" if before.endswith("\n") else "\n") + text.getvalue(), "utf-8")
    draft.replace(path)
