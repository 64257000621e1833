"""Suggest checks for a published relation: only those that hold for all of its rows."""

from __future__ import annotations

from mainstem.checks.examine import examine
from mainstem.checks.violations import Subject
from mainstem.graph.lineage import leaves
from mainstem.nodes.anomalies import Anomaly
from mainstem.project.branch import Branch
from mainstem.project.describe import describe, relation_of
from mainstem.statistics.suggest import Suggestion, suggest


def suggestions(branch: Branch, name: str) -> list[Suggestion]:
    """Return checks, each of which was run on all rows and found no violation. Raises `UnknownName`."""
    context = branch.reading("suggest")
    relation = relation_of(context, name)
    found = list(suggest(describe(branch, name)))
    tested = [each for each in found if not isinstance(each.check, Anomaly)]
    with context.session(sorted(leaves(relation))) as session:
        results = examine(session, Subject(relation, tuple(each.check for each in tested)))
    failed = {id(each) for each, result in zip(tested, results, strict=True) if not result.passed}
    return [each for each in found if id(each) not in failed]
