"""A report as one HTML page: pictures are SVG, without scripts; readable in light and dark, and on paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from importlib import resources

from mainstem.masking import masked
from mainstem.models.report import charts, tables
from mainstem.models.report.record import Record
from mainstem.models.report.tables import Table
from mainstem.models.versions.report import interval, number, spoken
from mainstem.nodes.evaluations import Evaluation


def page(report: Record) -> str:
    """Return the page as HTML."""
    name = _text(report.version.id)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<link rel="icon" href="data:,">
<style>{_css()}</style>
</head>
<body>
{_body(report)}
</body>
</html>
"""


def embedded(report: Record) -> str:
    """Return the page as a frame of a notebook: neither's style reaches the other."""
    return f'<iframe srcdoc="{escape(page(report))}" style="width:100%;height:900px;border:0"></iframe>'


def _css() -> str:
    return resources.files("mainstem.models.report").joinpath("report.css").read_text(encoding="utf-8")


def _body(report: Record) -> str:
    return f"""<header>
<h1>{_text(report.version.id)}</h1>
<p class="dim">{_text(_what(report))}</p>
</header>
<main>
{"".join(filter(None, _sections(report)))}
</main>"""


def _what(report: Record) -> str:
    made = f"{report.version.created_at:%Y-%m-%d %H:%M} UTC"
    return f"{report.card['task']} model {report.version.model!r}, {report.card['algorithm']}, trained {made}"


def _sections(report: Record) -> Iterator[str]:
    found, metric = report.evaluation, report.version.metric
    yield _summary(report)
    yield _section("How good it is", _table(tables.metrics(report)), _note(found))
    yield _limits(report)
    if found is None:
        yield from _origins(report)
        return
    if found.leaderboard:
        said = "Candidates are compared inside the training rows. The chosen one is measured on the test rows, once."
        yield _section("Leaderboard", _table(tables.leaderboard(found.leaderboard, metric)), said, wide=True)
    if found.search:
        tried = found.search
        said = f"{len(tried.trials):,} trials in {tried.seconds:.1f} s (tune: {tried.budget}). The best are shown."
        yield _section("Search", _table(tables.trials(tried, metric)), said)
    if found.learning:
        said = "The chosen candidate on the validation rows of the last fold, when it learns from fewer rows before it."
        yield _section("Learning curve", charts.learning(found.learning, spoken(metric)), said)
    yield _classified(report, found)
    yield _decided(report, found)
    if (classes := tables.by_class(report)) is not None:
        yield _section(
            "Each class", _table(classes), "Of the test rows. Decided: rows that were decided for the class."
        )
    if found.horizons:
        yield _section("Horizons", _table(tables.horizons(found.horizons, metric)), tables.SKILL, wide=True)
    if found.reached:
        said = "A quantile is calibrated if the share of test rows whose target is at or below it is its level."
        yield _section("Quantiles", _table(tables.reached(found.reached)), said)
    yield _regressed(found, report.card["classes"])
    if found.stability:
        legend = _legend([spoken(metric), "naive"], ["one", "faint"])
        yield _section(
            "Over time", legend + charts.stability(found.stability, spoken(metric)), _blocks(found), wide=True
        )
    yield _sliced(found, metric)
    yield from _effects(report, found)
    yield from _origins(report)


def _summary(report: Record) -> str:
    first = report.card["metrics"][report.version.metric]
    value, between = interval(tables.measure_of(first)).split(" ")
    rows = report.card["rows"]
    measured = rows.get("cross-validated", rows.get("test", 0))
    facts = [
        (value, f"{spoken(report.version.metric)} {between}"),
        (number(first["baseline"]), "of the naive baseline"),
        (f"{measured:,}", "rows cross-validated" if "cross-validated" in rows else "test rows, touched once"),
        (f"{rows.get('learned', 0):,}", "rows learned from by what ships"),
    ]
    if report.evaluation and report.evaluation.cost:
        facts.append((f"{report.evaluation.cost.single:,.0f} µs", "for one prediction"))
    each = "".join(f"<div><strong>{_text(value)}</strong><span>{_text(label)}</span></div>" for value, label in facts)
    return f'<section class="facts wide">{each}</section>'


def _note(found: Evaluation | None) -> str:
    return f"Intervals are from a bootstrap of {found.resampled} of the {found.rows:,} test rows." if found else ""


def _limits(report: Record) -> str:
    if not report.limits:
        return ""
    return _section("Limits", f"<ul>{''.join(f'<li>{_text(each)}</li>' for each in report.limits)}</ul>")


# ── scores and decisions ──────────────────────────────────────────────────────────────────────────────


def _classified(report: Record, found: Evaluation) -> str:
    if not found.curves and not found.calibration:
        return ""
    found, every = _frequent(found), len(found.curves)
    labels = [curve.label for curve in found.curves]
    several = _legend(labels) if len(labels) > 1 else ""
    threshold = found.decisions.threshold if found.decisions else None
    pictures = []
    if found.curves:
        pictures += [
            _figure("ROC curve", charts.roc(found.curves), several),
            _figure("Precision by recall", charts.precision_recall(found.curves, threshold), several),
        ]
    several = _legend([each.label for each in found.calibration]) if len(found.calibration) > 1 else ""
    pictures.append(_figure("Calibration", charts.calibration(found.calibration), several))
    if len(found.curves) == 1:
        legend = _legend(["precision", "recall", "false positive rate"])
        pictures.append(_figure("By threshold", charts.by_threshold(found.curves[0], threshold), legend))
    label = "P(true)" if report.card["task"] == "binary" else "probability of the true class"
    legend = _legend([f"{each.label} ({each.rows:,})" for each in found.histograms])
    pictures.append(_figure("Scores by true class", charts.histograms(found.histograms, label), legend))
    classes = len(report.card["classes"])
    said = (
        f"The {len(labels)} most frequent of {classes} classes, each against the rest." if len(labels) < every else ""
    )
    return _section("Scores", f'<div class="figures">{"".join(pictures)}</div>', said, wide=True)


def _frequent(found: Evaluation) -> Evaluation:
    """Return the evaluation with as many classes as there are colours: those with the most rows."""
    most = len(charts.SERIES)
    often = {each.label for each in sorted(found.curves, key=lambda each: -each.positives)[:most]}
    if len(found.curves) <= most:
        return found
    return replace(
        found,
        curves=tuple(each for each in found.curves if each.label in often),
        calibration=tuple(each for each in found.calibration if each.label in often),
        histograms=tuple(each for each in found.histograms if each.label in often),
    )


def _decided(report: Record, found: Evaluation) -> str:
    classes = report.card["classes"] or ["false", "true"]
    if found.decisions is None:
        matrix = tables.confusion(classes, report.card["confusion"])
        said = (
            "Decisions are P(true) ≥ ½." if report.card["task"] == "binary" else "The likeliest class is decided for."
        )
        if matrix:
            return _section("Confusion matrix", _heat(matrix, report.card["confusion"]), said)
        pairs = tables.confused(report)
        return _section("Most confused classes", _table(pairs), said) if pairs else ""
    matrix = tables.confusion(classes, found.decisions.confusion)
    said = f"The threshold was set on {found.decisions.validation:,} validation rows: {found.decisions.rule}."
    content = _table(tables.decisions(found.decisions)) + (_heat(matrix, found.decisions.confusion) if matrix else "")
    return _section("Decisions", f'<div class="beside">{content}</div>', said, wide=True)


def _heat(table: Table, matrix: Sequence[Sequence[int]]) -> str:
    """Return the confusion matrix. A cell is darker the larger its share of the true class."""
    head = "".join(f"<th>{_text(name)}</th>" for name in table.columns)
    body = []
    for own, (cells, counts) in enumerate(zip(table.rows, matrix, strict=True)):
        total = max(sum(counts), 1)
        shaded = "".join(
            f'<td class="n cell{" right" if place == own else ""}" style="--share:{count / total:.3f}">{cell}</td>'
            for place, (cell, count) in enumerate(zip(cells[1:-1], counts, strict=True))
        )
        body.append(f"<tr><th>{_text(cells[0])}</th>{shaded}<td class=n>{cells[-1]}</td></tr>")
    return f'<div class="scroll"><table class="heat"><tr>{head}</tr>{"".join(body)}</table></div>'


def _regressed(found: Evaluation, labels: Sequence[str]) -> str:
    if found.residuals is None:
        return ""
    histogram = charts.residual_histogram(found.residuals.histogram)
    pictures = [
        _figure("Residuals by prediction", charts.residuals(found.residuals), "", "median, and 80 % of the rows"),
        _figure("Residuals", histogram, "", "target − prediction"),
        _figure(
            "Predicted values",
            charts.histograms(found.histograms, "predicted value"),
            _legend(labels) if labels else "",
        ),
    ]
    return _section("Residuals", f'<div class="figures">{"".join(pictures)}</div>', wide=True)


def _blocks(found: Evaluation) -> str:
    return f"{len(found.stability)} blocks of about equally many test rows, each with its 95 % interval."


def _sliced(found: Evaluation, metric: str) -> str:
    content = ""
    if found.slices.declared:
        content += "<h3>Declared</h3>" + _table(tables.slices(found.slices.declared, metric))
    if found.slices.found:
        content += "<h3>Found</h3>" + _table(tables.slices(found.slices.found, metric))
    elif found.slices.tested:
        content += f"<p>No slice among {found.slices.tested:,} is worse or biased beyond chance.</p>"
    return _section("Slices", content, tables.searched(found), wide=True) if content else ""


def _effects(report: Record, found: Evaluation) -> Iterator[str]:
    metric = spoken(report.version.metric)
    if found.importances:
        said = f"How much worse {metric} becomes when an input is shuffled among {found.permuted:,} test rows."
        said += tables.looked_at(len(found.importances), found.inputs)
        yield _section("What it uses", charts.importances(found.importances, metric), said)
    if report.card["top_inputs"]:
        yield _section("Where inputs come from", _table(tables.inputs(report)), wide=True)
    if found.dependence:
        label = {"binary": "P(true)", "multiclass": "probability"}.get(report.card["task"], "predicted value")
        lines = found.dependence[0].lines
        legend = _legend([line.label for line in lines]) if len(lines) > 1 else ""
        pictures = [_figure(each.input, charts.dependence(each, label), "") for each in found.dependence]
        said = (
            "The mean score of a sample of test rows when one input is set to each value"
            + (", and the range of 80 % of them." if len(lines) == 1 else ".")
            + " Other inputs stay as they are."
        )
        yield _section("Effects", legend + f'<div class="figures">{"".join(pictures)}</div>', said, wide=True)


def _origins(report: Record) -> Iterator[str]:
    found = report.evaluation
    if found and found.timeline:
        legend = _legend(["train", "gap", "test"], ["part-train", "part-gap", "part-test"])
        yield _section("Splits on the time axis", legend + charts.timeline(found.timeline), wide=True)
    if (prepared := tables.preparation(report)) is not None:
        said = f"What {report.card['algorithm']} does with each input. The steps were fitted on what it learned from."
        yield _section("Preparation", _table(prepared), said)
    yield _section("How it was made", _pairs([*report.declared.items(), *tables.facts(report)]))
    yield _section("Data", _table(tables.data(report)), "A snapshot is one immutable state of a relation.")


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────


def _section(title: str, content: str, said: str = "", *, wide: bool = False) -> str:
    note = f'<p class="dim said">{_text(said)}</p>' if said else ""
    return f"<section{' class=wide' if wide else ''}><h2>{_text(title)}</h2>{note}{content}</section>"


def _figure(title: str, picture: str, legend: str, said: str = "") -> str:
    note = f' <span class="dim">{_text(said)}</span>' if said else ""
    return f"<figure><h3>{_text(title)}{note}</h3>{legend}{picture}</figure>"


def _legend(labels: Sequence[str], names: Sequence[str] | None = None) -> str:
    each = "".join(
        f'<span><i class="{names[i] if names else charts.series(i)}"></i>{_text(label)}</span>'
        for i, label in enumerate(labels)
    )
    return f'<p class="legend">{each}</p>'


def _table(table: Table) -> str:
    head = "".join(f"<th{_aligned(table, i)}>{_text(name)}</th>" for i, name in enumerate(table.columns))
    body = "".join(
        f"<tr{' class=first' if table.first and number == 0 else ''}>"
        + "".join(f"<td{_aligned(table, i)}>{_text(cell)}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for number, row in enumerate(table.rows)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _aligned(table: Table, place: int) -> str:
    return " class=n" if place in table.numbers else ""


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{_text(name)}</dt><dd>{_text(words)}</dd>' for name, words in pairs)}</dl>"


def _text(value: str) -> str:
    return escape(masked(value))
