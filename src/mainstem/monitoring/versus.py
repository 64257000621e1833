"""Champion against challenger on live requests: the same rows of a shadow, or the two groups of a canary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError, NotFound
from mainstem.graph.lineage import leaves
from mainstem.logs.records import CHAMPION
from mainstem.logs.shadows import shadows_table
from mainstem.models.metrics import Metric, difference, measure, of_version, unpaired
from mainstem.monitoring.cohorts import settled, share_of
from mainstem.monitoring.compared import compared
from mainstem.monitoring.drift import Sample
from mainstem.monitoring.history import clusters
from mainstem.monitoring.partition import Batch, Watched, floats
from mainstem.monitoring.performance import GONE, is_alike
from mainstem.nodes.comparisons import Comparison, Side, Verdict
from mainstem.nodes.endpoints import Performance
from mainstem.nodes.hidden import DECISION, LOGGED_AT, PREDICTION, RANK, ROLE, SCORES, VERSION
from mainstem.nodes.models import Task
from mainstem.nodes.records import Measure, ModelVersion
from mainstem.planning.execution import Context

FEWEST = 100
"""The number of outcomes of a version below which there is no verdict."""

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def compare(context: Context, endpoint: str, version: str | None = None) -> list[Comparison]:
    """Compare the champion of an endpoint with its challenger, or with another version, on the rows in the lake.

    While the challenger has scored nothing, the last version before it that has is compared.
    Return one comparison for a shadow and one for a canary, if there are rows of them. Raises `NotFound` without any,
    and `ModelError` if the versions predict different targets.
    """
    watched = Watched.of(context, endpoint)
    if watched is None:
        raise NotFound(f"{endpoint!r} has no predictions in the lake yet", hint="mainstem run stores them there")
    ids = [version] if version else _chosen(watched)
    found = [each for id in ids for each in _Versus(watched, _comparable(watched, id)).comparisons()]
    if not found:
        raise NotFound(
            f"no request to {endpoint!r} was scored by {', '.join(ids)}",
            where=f"{shadows_table(endpoint)}, predictions.{endpoint}",
            hint="ms.endpoint(…, shadow=[ms.challenger(…)]) lets it score them; mainstem run stores what it scored",
        )
    return found


def _comparable(watched: Watched, id: str) -> ModelVersion:
    """Return a version that predicts what the champion does. Raises `NotFound` and `ModelError`."""
    other, champion = watched.context.records.get(ModelVersion, id), watched.version
    if other is None:
        raise NotFound(f"unknown model version {id!r}", hint=f"mainstem show {watched.model}")
    if (other.task, other.classes) != (champion.task, champion.classes):
        raise ModelError(
            f"{champion.id} and {id} predict different targets",
            got=f"{other.task} {', '.join(other.classes)}".strip(),
            expected=f"{champion.task} {', '.join(champion.classes)}".strip(),
        )
    return other


def _chosen(watched: Watched) -> list[str]:
    """Return the challenger of each model that the endpoint declares, or the newest version of it that scored a request
    if the challenger has not. Raises `NotFound` without any."""
    context, seen = watched.context, _seen(watched)
    name_of = context.graph.name_of
    models = dict.fromkeys([watched.model, *map(name_of, watched.endpoint.challenged)])
    found = list[str]()
    for model in models:
        challenger = context.release.challenger(watched.name, model)
        versions = [each for each in context.records.find(ModelVersion, model=model) if each.id in seen]
        if challenger not in seen and versions:
            challenger = max(versions, key=lambda each: each.number).id
        found += [challenger] if challenger else []
    if not found:
        raise NotFound(
            f"{watched.name!r} has no challenger",
            got=f"the newest version, {watched.version.id}, is the champion",
            hint="mainstem run trains one",
        )
    return found


def _seen(watched: Watched) -> set[str]:
    """Return the versions beside the champion that scored a request."""
    import ibis

    context, found = watched.context, set[str]()
    for relation, role in ((shadows_table(watched.name), None), (f"predictions.{watched.name}", "challenger")):
        if relation in context.release.tables:
            rows = ibis.table({f.name: f.type for f in context.snapshot(relation).fields}, name=relation)
            chosen = rows if role is None else rows.filter(rows[ROLE] == role)
            with context.session([relation]) as session:
                found |= set(session.fetch(chosen.select(VERSION).distinct())[VERSION].to_pylist())
    return found - {watched.version.id}


@dataclass(frozen=True)
class _Versus:
    watched: Watched
    other: ModelVersion

    def comparisons(self) -> Iterator[Comparison]:
        champion = self.watched.predictions()
        yield from self._shadow(champion)
        if self.other.model == self.watched.model:
            yield from self._canary(champion)

    @property
    def _asked(self) -> str:
        rules = [m for m in self.watched.endpoint.monitors if isinstance(m, Performance)]
        return next((m.metric for m in rules if m.metric), None) or self.watched.version.metric

    @property
    def _metric(self) -> Metric | None:
        return of_version(self._asked, cast(Task, self.watched.version.task))

    # ── a shadow ─────────────────────────────────────────────────────────────────────────────────────

    def _shadow(self, champion: Batch) -> Iterator[Comparison]:
        scored = self._scored()
        both = champion.take(np.array([id in scored for id in champion.table[PREDICTION].to_pylist()], bool))
        if not len(both):
            return
        theirs = _again(both, [scored[id] for id in both.table[PREDICTION].to_pylist()])
        known = both.known & theirs.known & settled(both, share_of(self.watched))
        ours, others = both.take(known), theirs.take(known)
        gain, judge = None, self._metric
        if judge is not None and self._suffices(ours):
            (y, first), (_, second) = compared(self.watched.version, ours), compared(self.other, others)
            gain = difference(judge, y, second, first, groups=clusters(ours.inputs.times))
        decided = [
            (a, b) for a, b in zip(_decisions(both), _decisions(theirs), strict=True) if a is not None or b is not None
        ]
        with np.errstate(invalid="ignore"):
            apart = np.abs(both.scores - theirs.scores)
        yield self._comparison(
            "shadow",
            self._side(self.watched.version, both, ours),
            self._side(self.other, theirs, others),
            gain,
            differing=sum(a != b for a, b in decided) if decided else None,
            apart=float(np.nanmean(apart)) if np.isfinite(apart).any() else None,
        )

    def _scored(self) -> dict[str, dict[str, Any]]:
        """Return what the shadow said, by the prediction's id. Of an id that was logged twice, the last counts."""
        context, relation = self.watched.context, shadows_table(self.watched.name)
        if relation not in context.release.tables:
            return {}
        import ibis

        stored = ibis.table({f.name: f.type for f in context.snapshot(relation).fields}, name=relation)
        rows = stored.filter(stored[VERSION] == self.other.id).order_by(LOGGED_AT)
        with context.session(leaves(rows)) as session:
            return {row[PREDICTION]: row for row in session.fetch(rows).to_pylist()}

    # ── a canary ─────────────────────────────────────────────────────────────────────────────────────

    def _canary(self, champion: Batch) -> Iterator[Comparison]:
        every = Watched(self.watched.context, self.watched.name, self.watched.endpoint, self.other).predictions()
        taken = every.take(_column(every, ROLE) == "challenger")
        if not len(taken):
            return
        logged, when = _column(taken, LOGGED_AT), _column(champion, LOGGED_AT)
        during = (when >= logged.min()) & (when <= logged.max())
        beside = champion.take((_column(champion, ROLE) == CHAMPION) & during)
        ours, theirs = (b.take(b.known & settled(b, share_of(self.watched))) for b in (beside, taken))
        gain, judge = None, self._metric
        if judge is not None and self._suffices(ours) and self._suffices(theirs):
            first, second = compared(self.watched.version, ours), compared(self.other, theirs)
            gain = unpaired(judge, second, first, groups=(self._units(theirs), self._units(ours)))
        yield self._comparison(
            "canary",
            self._side(self.watched.version, beside, ours),
            self._side(self.other, taken, theirs),
            gain,
        )

    def _units(self, batch: Batch) -> NDArray[Any]:
        """Return what is resampled as a whole: the rows of a value that the canary keeps at one version."""
        canary = self.watched.endpoint.canary
        if canary is None or canary.by is None or canary.by not in batch.table.column_names:
            return clusters(batch.inputs.times)
        return np.unique(_column(batch, canary.by).astype(str), return_inverse=True)[1]

    # ── both ─────────────────────────────────────────────────────────────────────────────────────────

    def _suffices(self, known: Batch) -> bool:
        return len(known) >= FEWEST and not is_alike(cast(Task, self.watched.version.task), known.outcomes)

    def _side(self, version: ModelVersion, rows: Batch, known: Batch) -> Side:
        found, judge = None, self._metric
        if judge is not None and self._suffices(known):
            found = measure(judge, *compared(version, known), groups=clusters(known.inputs.times))
        finite = rows.scores[np.isfinite(rows.scores)]
        scores = {f"{level:g}": float(np.quantile(finite, level)) for level in LEVELS} if len(finite) else {}
        decisions = Counter(each for each in _decisions(rows) if each is not None)
        return Side(version.id, len(rows), len(known), found, scores, dict(sorted(decisions.items())))

    def _comparison(
        self,
        way: Literal["shadow", "canary"],
        champion: Side,
        challenger: Side,
        gain: Measure | None,
        **more: Any,
    ) -> Comparison:
        if gain is not None and not all(map(isfinite, (gain.value, gain.low, gain.high))):
            gain = None
        verdict: Verdict = "too few outcomes"
        if gain is not None:
            verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "no difference shown"
        context = self.watched.context
        return Comparison(
            self.watched.name,
            context.branch,
            context.release.id,
            way,
            self._asked,
            champion,
            challenger,
            verdict,
            _text(self._asked, self._metric, way, champion, challenger, gain, verdict, more.get("differing")),
            gain,
            **more,
        )


def _again(batch: Batch, said: list[dict[str, Any]]) -> Batch:
    """Return the same rows with what a shadow said of them."""
    import pyarrow as pa

    table = batch.table
    for name in ("score", SCORES, DECISION):
        column = pa.array([row[name] for row in said], type=table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    inputs = Sample(batch.inputs.columns, batch.inputs.times)
    return Batch(inputs, floats(table["score"]), batch.outcomes, table)


def _decisions(batch: Batch) -> list[str | None]:
    """Return the decisions; none of candidates, among which a shadow does not choose."""
    found: list[str | None] = batch.table[DECISION].to_pylist()
    chosen = batch.table[RANK].to_pylist()
    return [None if rank is not None else each for each, rank in zip(found, chosen, strict=True)]


def _column(batch: Batch, name: str) -> NDArray[Any]:
    return np.array(batch.table[name].to_pylist(), object)


def _text(
    name_of: str,
    judge: Metric | None,
    way: str,
    champion: Side,
    challenger: Side,
    gain: Measure | None,
    verdict: Verdict,
    differing: int | None,
) -> str:
    words, name = name_of.replace("_", " "), challenger.version
    if gain is None:
        fewest = min(champion.outcomes, challenger.outcomes)
        reason = f"{fewest:,} outcomes, {FEWEST} are needed" if fewest < FEWEST else "the metric is undefined on them"
        reason = f"{words}: {GONE}" if judge is None else reason
        text = f"whether {name} is better is not known: {reason}"
    else:
        on = f"the same {gain.rows:,} outcomes" if way == "shadow" else f"{gain.rows:,} outcomes of other requests"
        sides = (
            f"{words} {champion.measure.value:.3f} → {challenger.measure.value:.3f}"
            if (champion.measure and challenger.measure)
            else words
        )
        told = f"{sides}, better by {gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f}) on {on}"
        text = {
            "better": f"{name} is better than {champion.version}: {told}",
            "worse": f"{name} is worse than {champion.version}: {told}",
            "no difference shown": f"no difference between {name} and {champion.version} is shown: {told}",
        }[verdict]
    if differing is not None:
        text += f"; {differing / champion.rows:.1%} of {champion.rows:,} decisions differ"
    return text
