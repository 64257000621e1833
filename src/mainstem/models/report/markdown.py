"""A report as Markdown: what the page shows, with tables in place of pictures."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.masking import masked
from mainstem.models.report import tables
from mainstem.models.report.record import Record
from mainstem.models.report.tables import Table
from mainstem.models.versions.report import interval, number, spoken
from mainstem.nodes.evaluations import Dependence, Evaluation


def markdown(report: Record) -> str:
    """Return the report as Markdown."""
    return masked("\n\n".join(_parts(report)) + "\n")


def _parts(report: Record) -> Iterator[str]:
    found, metric = report.evaluation, report.version.metric
    yield f"# {report.version.id}"
    yield f"{report.card['task']}, {report.card['headline']}"
    yield "## How good it is"
    yield _table(tables.metrics(report))
    if report.limits:
        yield "## Limits"
        yield "\n".join(f"- {each}" for each in report.limits)
    if found is not None:
        yield from _evaluated(report, found, metric)
    if (prepared := tables.preparation(report)) is not None:
        yield "## Preparation"
        yield _table(prepared)
    yield "## How it was made"
    yield _table(Table(("", ""), [*report.declared.items(), *tables.facts(report)]))
    yield "## Data"
    yield _table(tables.data(report))


def _evaluated(report: Record, found: Evaluation, metric: str) -> Iterator[str]:
    yield from _searched(found, metric)
    yield from _decided(report, found)
    yield from _answered(found, metric)
    yield from _explained(report, found, metric)
    if found.timeline:
        yield "## Splits on the time axis"
        yield _table(tables.timeline(found.timeline))


def _searched(found: Evaluation, metric: str) -> Iterator[str]:
    """Yield what candidates and settings were compared, and from how many rows."""
    if found.leaderboard:
        yield "## Leaderboard"
        yield _table(tables.leaderboard(found.leaderboard, metric))
    if found.search:
        yield "## Search"
        yield f"{len(found.search.trials):,} trials in {found.search.seconds:.1f} s."
        yield _table(tables.trials(found.search, metric))
    if found.learning:
        yield "## Learning curve"
        points = [(f"{p.rows:,}", interval(p.measure)) for p in found.learning]
        yield _table(Table(("rows learned from", spoken(metric)), points, frozenset({0, 1})))


def _decided(report: Record, found: Evaluation) -> Iterator[str]:
    """Yield what decisions are worth, and how classes are confused."""
    if found.decisions:
        yield "## Decisions"
        yield f"The threshold was set on {found.decisions.validation:,} validation rows: {found.decisions.rule}."
        yield _table(tables.decisions(found.decisions))
    if len(found.curves) == 1:
        yield "## By threshold"
        yield _table(tables.thresholds(found.curves[0], found.decisions.threshold if found.decisions else None))
    counted = found.decisions.confusion if found.decisions else report.card["confusion"]
    matrix = tables.confusion(report.card["classes"] or ["false", "true"], counted) if counted else None
    if matrix:
        yield "## Confusion matrix"
        yield _table(matrix)
    if (pairs := tables.confused(report)) is not None:
        yield "## Most confused classes"
        yield _table(pairs)
    if (classes := tables.by_class(report)) is not None:
        yield "## Each class"
        yield _table(classes)


def _answered(found: Evaluation, metric: str) -> Iterator[str]:
    """Yield how answers agree with what happened: by probability, horizon, quantile, value and time."""
    for each in found.calibration:
        yield f"## Calibration of {each.label}"
        rows = [(number(b.score), f"{b.rate:.3f} ({b.low:.3f}–{b.high:.3f})", f"{b.rows:,}") for b in each.bins]
        yield _table(Table(("predicted", "observed (95 % interval)", "rows"), rows, frozenset({0, 1, 2})))
    if found.horizons:
        yield "## Horizons"
        yield tables.SKILL
        yield _table(tables.horizons(found.horizons, metric))
    if found.reached:
        yield "## Quantiles"
        yield _table(tables.reached(found.reached))
    if found.residuals:
        yield "## Residuals"
        bins = [(number(b.predicted), number(b.low), number(b.middle), number(b.high)) for b in found.residuals.bins]
        yield _table(Table(("predicted", "10 %", "median", "90 %"), bins, frozenset({0, 1, 2, 3})))
    if found.stability:
        yield "## Over time"
        blocks = [
            (f"{b.start:%Y-%m-%d %H:%M}", f"{b.end:%Y-%m-%d %H:%M}", f"{b.measure.rows:,}", interval(b.measure))
            for b in found.stability
        ]
        yield _table(Table(("from", "to", "rows", spoken(metric)), blocks, frozenset({2, 3})))


def _explained(report: Record, found: Evaluation, metric: str) -> Iterator[str]:
    """Yield slices, inputs and their effects."""
    slices = [*found.slices.declared, *found.slices.found]
    if slices:
        yield "## Slices"
        if said := tables.searched(found):
            yield said
        yield _table(tables.slices(slices, metric))
    yield "## Inputs"
    if said := tables.looked_at(len(found.importances), found.inputs):
        yield said.strip()
    yield _table(tables.inputs(report))
    for effect in found.dependence:
        yield f"## Effect of {effect.input}"
        yield _table(_effect(effect))


def _effect(found: Dependence) -> Table:
    labels = tuple(line.label or "mean score" for line in found.lines)
    rows = [
        (value if isinstance(value, str) else number(value), *(number(line.mean[i]) for line in found.lines))
        for i, value in enumerate(found.values)
    ]
    return Table((found.input, *labels), rows, frozenset(range(1, len(labels) + 1)))


def _table(table: Table) -> str:
    head = "| " + " | ".join(map(_cell, table.columns)) + " |"
    rule = "|" + "|".join("---:" if i in table.numbers else "---" for i in range(len(table.columns))) + "|"
    return "\n".join([head, rule, *("| " + " | ".join(map(_cell, row)) + " |" for row in table.rows)])


def _cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())
