"""What a branch tells: the rows of its relations, its state, one node of it, and what is in a relation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, overload

from mainstem.errors import UnknownName
from mainstem.nodes.definition import Definition
from mainstem.nodes.models import Model
from mainstem.nodes.records import CheckResult
from mainstem.nodes.status import Details, MonitorHistory, ProjectStatus
from mainstem.project.branch import Branch
from mainstem.project.reading import Dataset, Relation

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.features.offline.join import AsOf
    from mainstem.models.report import Report
    from mainstem.nodes.descriptions import Description
    from mainstem.project.past import Feature, PastFeatures
    from mainstem.project.suggest import Suggestions
    from mainstem.sources.looking import Look

SPLITS = ("train", "gap", "test", "unlabelled", "immature", "older")
FOLD = re.compile(r"fold [1-9]\d?")
"""Further splits, of a model that is cross-validated."""

SIGHTS = ("arrived", "known")


class Telling(Branch):
    """A branch with the methods that read what it publishes."""

    def check(self, select: str | None = None) -> dict[str, tuple[CheckResult, ...]]:
        """Run all checks on the published data. Return the results by node."""
        from mainstem.graph.selection import select as selected
        from mainstem.tables.build import check_published

        context = self.reading("check")
        graph = context.graph
        names = [n for n in graph.dag.order if n in selected(graph.dag, select)]
        checked = [n for n in names if _is_checked(graph[n]) and n in context.release.tables]
        return {name: check_published(context, name) for name in checked}

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @overload
    def dataset(self, model: str, split: str | None = None, *, as_of: None = None) -> Relation: ...
    @overload
    def dataset(self, model: str, split: str | None = None, *, as_of: AsOf) -> Dataset: ...
    def dataset(self, model: str, split: str | None = None, *, as_of: AsOf | None = None) -> Relation | Dataset:
        """Return the examples that a model was last trained on: one row each, point-in-time correct; perhaps of one
        split.

        With `as_of` they are computed again from the published data: `"arrived"` uses the events that had arrived by an
        example's time, as training does; `"known"` uses those that had become known by then, even if they arrived
        later. Raises `UnknownName` for a model without a dataset, an unknown split or an unknown `as_of`.
        """
        if not FOLD.fullmatch(split or ""):
            _one_of("split", split, SPLITS)
        _one_of("as_of", as_of, SIGHTS)
        context = self.reading("read")
        if as_of is None:
            return Relation(context, f"dataset.{model}", self._past, self.explorer, split)
        _one_of("model", model, list(self.graph.of(Model)))
        return Dataset(context, model, as_of, self.explorer, split)

    def features(
        self, features: Sequence[Feature], rows: Any, time: str | datetime = "time", *, as_of: AsOf = "arrived"
    ) -> PastFeatures:
        """Return `rows` with features as of `time`: the name of a column with instants, or one instant for all rows.

        No model is needed. `features` are views (or their names), uses of views (`view.on("origin")`) and on-demand
        features. `rows` have the keys: a list of mappings, an Arrow table, a data frame, or a relation of the project.
        `as_of` is as in `dataset`. Raises `UnknownName`, `SchemaError` for a key that is missing or of another type,
        and `RequestError` for rows or times that cannot be read.
        """
        from mainstem.project.past import past_features

        _one_of("as_of", as_of, SIGHTS)
        return past_features(self.reading("read"), self.explorer, features, rows, time, as_of)

    def query(self, sql: str) -> pa.Table:
        """Return the result of a SELECT over published relations. Raises `EngineError`."""
        from mainstem.project.reading import query

        return query(self.reading("query"), sql)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────

    def monitors(self, endpoint: str) -> list[MonitorHistory]:
        """Return every judgement of each monitor of an endpoint, in order. Raises `UnknownName`."""
        from mainstem.project.monitors import monitors

        return monitors(self, endpoint)

    def status(self) -> ProjectStatus:
        """Return every node with its state, endpoints, findings and runs, as the last run left them.

        No source is contacted. `plan` checks sources for new data.
        """
        from mainstem.project.status import status

        return status(self)

    def show(self, name: str, limit: int = 10, *, quarantine: bool = False) -> Details:
        """Return the details of one node, with some of its rows; with `quarantine`, of the rows that are set aside.

        Raises `UnknownName`, and `NotFound` if no row is set aside.
        """
        from mainstem.project.aside import quarantined
        from mainstem.project.show import show

        return quarantined(self, name, limit) if quarantine else show(self, name, limit)

    def describe(self, name: str) -> Description:
        """Return what is in a relation: missing values, distributions, outliers, duplicates, inconsistent levels,
        correlations. Of many rows, about 200,000 are drawn with a fixed seed. Raises `UnknownName`."""
        from mainstem.project.describe import describe

        return describe(self, name)

    def report(self, name: str) -> Report:
        """Return the report of a model's newest version, of an endpoint's champion, or of a version by its id: with
        `.html()`, `.markdown()` and `.to_dict()`. Raises `UnknownName`, `NotFound`."""
        from mainstem.project.report import report

        return report(self, name)

    def suggest(self, name: str) -> Suggestions:
        """Return cleaning verbs and checks for a relation: as code, with reasons. All checks hold for its rows.

        Raises `UnknownName`.
        """
        from mainstem.project.suggest import suggestions

        return suggestions(self, name)

    # ── sources ──────────────────────────────────────────────────────────────────────────────────────

    def look(self, source: str, rows: int = 5) -> Look:
        """Return what a source has now, without collecting it: columns beside the known ones, rows, and how fresh they
        are. Raises `UnknownName`, and `SourceError` if it cannot be read."""
        from mainstem.project.looking import look_at

        return look_at(self, source, rows)

    def infer(self, place: str, table: str | None = None) -> str:
        """Return a declaration as code for files, an API, or a table of a database, as its rows suggest.

        Raises `DefinitionError`, `SourceError`.
        """
        from mainstem.project.looking import infer

        return infer(self, place, table)


def _is_checked(definition: Definition) -> bool:
    return bool(getattr(definition.node, "checks", ()) or definition.joins)


def _one_of(what: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise UnknownName.among(what, value, known)
