"""The tables of a report as rows of texts, for HTML and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.models.report.record import Record
from mainstem.models.versions.classes import MOST_CLASSES
from mainstem.models.versions.report import done, interval, number, setting, spoken
from mainstem.nodes.evaluations import (
    Curve,
    Decisions,
    Evaluation,
    Horizon,
    Past,
    Reached,
    Search,
    Slice,
    Span,
    Standing,
    Trial,
)
from mainstem.nodes.records import Measure


@dataclass(frozen=True)
class Table:
    """A table: `numbers` are the columns that are aligned to the right, and `first` tells whether row 1 stands out."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    first: bool = False


def metrics(report: Record) -> Table:
    rows = [
        (spoken(name), interval(measure_of(found)), number(found["baseline"]))
        for name, found in report.card["metrics"].items()
    ]
    return Table(("metric", "value (95 % interval)", "naive"), rows, frozenset({1, 2}), first=True)


def reached(found: Sequence[Reached]) -> Table:
    """Return how often targets are at or below each quantile."""
    rows = [(each.label, interval(each.share), number(each.level)) for each in found]
    return Table(("targets", "share (95 % interval)", "aim"), rows, frozenset({1, 2}))


SKILL = (
    "The mean absolute error, beside that of the last value of the series, and of its value whole weeks before the "
    "time that is forecast. The skill is 1 − error / that error: above 0 the forecast is better. The intervals of "
    "horizons do not hold the drift between periods, as those of the whole test do."
)


def horizons(found: Sequence[Horizon], metric: str) -> Table:
    """Return how good a forecast is at each horizon, and its skill beside past values."""
    judged = () if metric == "mae" else (spoken(metric),)
    rows = [
        (
            each.horizon,
            f"{each.rows:,}",
            *([interval(each.measure) if each.measure else "undefined"] if judged else []),
            interval(each.error),
            *_past(each.last),
            *_past(each.season),
        )
        for each in found
    ]
    columns = ("horizon", "rows", *judged, "mae (95 % interval)", "last value", "skill", "weeks before", "skill")
    return Table(columns, rows, frozenset(range(1, len(columns))))


def _past(found: Past | None) -> tuple[str, str]:
    if found is None:
        return "–", "–"
    return number(found.error), "–" if found.skill is None else f"{found.skill:+.1%}"


def leaderboard(found: Sequence[Standing], metric: str) -> Table:
    rows = [
        (
            each.candidate,
            interval(each.mean) if each.mean else "undefined",
            "  ".join(f"{value:,.3g}" if abs(value) < 1_000 else number(value) for value in each.folds),
            f"{each.seconds:.2f} s",
        )
        for each in found
    ]
    columns = ("candidate", f"mean {spoken(metric)} (95 % interval)", "folds", "took")
    return Table(columns, rows, frozenset({1, 2, 3}), first=True)


MOST_TRIALS = 15


def trials(found: Search, metric: str) -> Table:
    """Return the best trials of a search: those that ran on all folds first."""
    best = sorted(found.trials, key=lambda each: _place(each, 1 if found.higher_is_better else -1))
    rows = [
        (
            each.name,
            ", ".join(f"{name} {setting(value)}" for name, value in each.settings.items()) or "defaults",
            each.state,
            "undefined" if each.value is None else number(each.value),
            f"{each.seconds:.2f} s",
        )
        for each in best[:MOST_TRIALS]
    ]
    return Table(("trial", "settings", "state", f"mean {spoken(metric)}", "took"), rows, frozenset({3, 4}))


def _place(trial: Trial, sign: int) -> tuple[bool, float]:
    return trial.state != "complete", float("inf") if trial.value is None else -sign * trial.value


def decisions(found: Decisions) -> Table:
    """Return what decisions are worth on the test rows, beside what the rule expected and decisions at ½."""
    rows = [
        (
            spoken(name),
            interval(measure),
            number(found.expected[name]) if name in found.expected else "–",
            *([interval(found.half[name]) if name in found.half else "–"] if found.half else []),
        )
        for name, measure in found.measured.items()
    ]
    columns = (
        f"at threshold {number(found.threshold)}",
        "test rows (95 % interval)",
        "validation rows",
        *(["test rows at ½"] if found.half else []),
    )
    return Table(columns, rows, frozenset(range(1, len(columns))))


MOST_THRESHOLDS = 10


def thresholds(curve: Curve, threshold: float | None = None) -> Table:
    """Return precision, recall and false positive rate at about ten thresholds, evenly among those that were kept, and
    at the one that decides."""
    last = len(curve.thresholds) - 1
    places = {round(last * n / (MOST_THRESHOLDS - 1)) for n in range(MOST_THRESHOLDS)}
    own = None if threshold is None else place_of(curve, threshold)
    rows = [
        (
            number(curve.thresholds[at]) if at != own or threshold is None else f"{number(threshold)} (decides)",
            f"{curve.precision[at]:.3f}",
            f"{curve.recall[at]:.3f}",
            f"{curve.fallout[at]:.3f}",
        )
        for at in sorted(places | ({own} if own is not None else set()), reverse=True)
    ]
    return Table(("threshold", "precision", "recall", "false positive rate"), rows, frozenset(range(4)))


def place_of(curve: Curve, threshold: float) -> int:
    """Return the place of the lowest kept threshold that is not below another."""
    return max((i for i, each in enumerate(curve.thresholds) if each >= threshold), default=0)


def timeline(spans: Sequence[Span]) -> Table:
    """Return which rows trained, which were left out, and which measured, in the version and in each fold."""
    rows = [
        (each.line, each.part, f"{each.start:%Y-%m-%d %H:%M}", f"{each.end:%Y-%m-%d %H:%M}", f"{each.rows:,}")
        for each in spans
    ]
    return Table(("", "part", "from", "to", "rows"), rows, frozenset({4}))


def confusion(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> Table | None:
    """Return the confusion matrix with the recall of each class; None for too many classes, which have `confused`."""
    if not matrix or len(matrix) > MOST_CLASSES:
        return None
    rows = [
        (name, *(f"{cell:,}" for cell in row), f"{row[i] / sum(row):.1%}" if sum(row) else "–")
        for i, (name, row) in enumerate(zip(classes, matrix, strict=True))
    ]
    columns = ("true \\ decided", *classes, "recall")
    return Table(columns, rows, frozenset(range(1, len(columns))))


def by_class(report: Record) -> Table | None:
    """Return rows, precision, recall and F1 of each class; None of two classes, or none."""
    found = report.card["by_class"]
    rows = [
        (
            each["label"],
            f"{each['rows']:,}",
            f"{each['decided']:,}",
            *("–" if each[name] is None else f"{each[name]:.3f}" for name in ("precision", "recall", "f1")),
        )
        for each in found
    ]
    columns = ("class", "rows", "decided", "precision", "recall", "F1")
    return Table(columns, rows, frozenset(range(1, len(columns)))) if rows else None


def confused(report: Record) -> Table | None:
    """Return the pairs of classes that are confused most; None of few classes, which have a matrix."""
    rows = [
        (each["truth"], each["decided"], f"{each['rows']:,}", f"{each['share']:.1%}")
        for each in report.card["confused"]
    ]
    return Table(("true", "decided", "rows", "of the true class"), rows, frozenset({2, 3})) if rows else None


def slices(found: Sequence[Slice], metric: str) -> Table:
    biased = any(each.bias is not None for each in found)
    rows = [
        (
            each.where,
            f"{each.rows:,}",
            interval(each.measure) if each.measure else "undefined",
            number(each.rest) if each.rest is not None else "undefined",
            *([f"{each.bias:+.3g}" if each.bias is not None else "–"] if biased else []),
            _verdict(each),
        )
        for each in found
    ]
    columns = ("slice", "rows", spoken(metric), "elsewhere", *(["target − score"] if biased else []), "found")
    return Table(columns, rows, frozenset(range(1, len(columns) - 1)))


def _verdict(slice: Slice) -> str:
    words = {"loss": f"higher loss (p {_p(slice.loss_p)})", "bias": f"biased (p {_p(slice.bias_p or 0.0)})"}
    return ", ".join(words[kind] for kind in slice.found) or "no difference that chance does not explain"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def looked_at(looked: int, every: int) -> str:
    """Return that only some inputs were looked at, in words; nothing if all were."""
    return f" {looked:,} of {every:,} inputs were looked at, those with the largest shares." if looked < every else ""


def searched(found: Evaluation) -> str:
    """Return how slices were searched, in words; nothing if they were not."""
    if not found.slices.tested:
        return ""
    said = (
        f"{found.slices.tested:,} levels and quartiles of the inputs were searched, at a false discovery rate of 5 %."
    )
    return said + looked_at(found.slices.inputs, found.inputs)


def inputs(report: Record) -> Table:
    lost = {each.input: interval(each.loss) for each in report.evaluation.importances} if report.evaluation else {}
    rows = [
        (each["input"], f"{each['share']:.1%}", lost.get(each["input"], "–"), ", ".join(each["sources"]))
        for each in report.card["top_inputs"]
    ]
    return Table(("input", "share", "loss when shuffled (95 % interval)", "from"), rows, frozenset({1, 2}))


def preparation(report: Record) -> Table | None:
    """Return what is done with each input; None if the algorithm does not tell."""
    found = report.card["preparation"]
    rows = [(each["input"], each["type"], done(each)) for each in found]
    return Table(("column", "type", "what is done"), rows) if rows else None


def data(report: Record) -> Table:
    rows = [(each.name, str(each.snapshot), "–" if each.rows is None else f"{each.rows:,}") for each in report.data]
    return Table(("relation", "snapshot", "rows"), rows, frozenset({1, 2}))


def facts(report: Record) -> Iterator[tuple[str, str]]:
    """Yield what the version is and how it was measured, as pairs."""
    card = report.card
    yield "algorithm", card["algorithm"]
    if card["settings"]:
        yield "settings", ", ".join(f"{name} {setting(value)}" for name, value in card["settings"].items())
    yield from (
        (name, words) for name, words in card["evaluation"].items() if not name.startswith(("leaks", "assume_"))
    )
    if report.evaluation and report.evaluation.cost:
        cost = report.evaluation.cost
        yield (
            "one prediction",
            f"{cost.single:,.0f} µs alone, {cost.batch:,.3g} µs a row in batches, on the training machine",
        )
        yield "model file", f"{cost.bytes / 1024:,.0f} KiB ONNX"
    gate: Mapping[str, Any] | None = card["gate"]
    if gate:
        yield (
            "gate",
            f"the file scores like the fitted model on {gate['rows']:,} rows ({gate['largest']:.2g} of the tolerance)",
        )
    yield "run", report.version.run


def measure_of(found: Mapping[str, Any]) -> Measure:
    return Measure(found["value"], found["low"], found["high"], found["rows"])
