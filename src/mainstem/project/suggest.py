"""Suggest checks and cleaning verbs for a published relation. Every check holds for all of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mainstem.checks.examine import examine
from mainstem.checks.violations import Subject
from mainstem.graph.lineage import leaves
from mainstem.nodes.anomalies import Anomaly
from mainstem.project.branch import Branch
from mainstem.project.describe import describe, relation_of
from mainstem.statistics.suggest import Suggestion, suggest
from mainstem.statistics.suggest_cleaning import Cleaning, suggest_cleaning


@dataclass(frozen=True)
class Suggestions:
    """Verbs to clean a relation with, and checks. Sources take checks only."""

    clean: Sequence[Cleaning]
    checks: Sequence[Suggestion]


def suggestions(branch: Branch, name: str) -> Suggestions:
    """Return verbs and checks. Each check was run on all rows and found no violation. Raises `UnknownName`."""
    context = branch.reading("suggest")
    relation = relation_of(context, name)
    described = describe(branch, name)
    clean = list(suggest_cleaning(described))
    found = list(suggest(described, {each.column for each in clean}))
    tested = [each for each in found if not isinstance(each.check, Anomaly)]
    with context.session(sorted(leaves(relation))) as session:
        results = examine(session, Subject(relation, tuple(each.check for each in tested)))
    failed = {id(each) for each, result in zip(tested, results, strict=True) if not result.passed}
    return Suggestions(clean, [each for each in found if id(each) not in failed])
