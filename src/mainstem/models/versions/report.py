"""A model card: what a version is, how it compares with the naive baseline, and where it comes from."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from mainstem.models.artifact import evaluation
from mainstem.models.artifact.manifest import Manifest, read
from mainstem.models.evaluation import comparison as evaluated
from mainstem.models.versions.classes import MOST_CLASSES, by_class, confused
from mainstem.nodes.records import Measure, ModelVersion
from mainstem.ports import Artifacts

TOP = 10
CORNER = "true \\ decided"
MOST_PREPARED = 40
"""Inputs whose preparation is printed. JSON and the page have all."""

WIDTH = 120
"""Characters after which a line of the card is wrapped."""


def card(version: ModelVersion, root: Artifacts) -> dict[str, Any]:
    """Return plain data for `mainstem show`, ready for JSON. Raises `ModelError` if the artifact is
    missing or damaged.

    `evaluated` is all that was kept of the measurement; None for a version that was made before it was kept.
    """
    directory = root / version.artifact
    manifest = read(directory)
    builtins: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(manifest))
    return {
        "id": version.id,
        "headline": headline(version),
        "task": manifest.task,
        "algorithm": manifest.algorithm,
        "created_at": builtins["created_at"],
        "erased_at": None if version.erased_at is None else version.erased_at.isoformat(),
        "settings": builtins["settings"],
        "metrics": {
            name: {**builtins["metrics"][name], "baseline": builtins["baseline"][name]["value"]}
            for name in _metric_first(manifest)
        },
        "classes": builtins["classes"],
        "confusion": builtins["confusion"],
        "by_class": [asdict(each) for each in by_class(manifest.classes, manifest.confusion)],
        "confused": [asdict(each) for each in confused(manifest.classes, manifest.confusion)],
        "folds": builtins["folds"],
        "means": {name: mean for name, mean in means_of(manifest).items() if mean == mean},
        "top_inputs": [
            {"input": name, "share": round(share, 4), "sources": list(_sources(manifest, name))}
            for name, share in list(manifest.importances.items())[:TOP]
        ],
        "preparation": builtins.get("preparation", []),
        "rows": builtins["rows"],
        "evaluation": builtins["evaluation"],
        "evaluated": msgspec.json.decode(msgspec.json.encode(evaluation.read(directory, manifest))),
        "trained_until": builtins["trained_until"],
        "snapshots": builtins["snapshots"],
        "gate": builtins["gate"],
        "versions": builtins["versions"],
    }


def text(version: ModelVersion, root: Artifacts) -> str:
    """Return the card as plain text."""
    return "\n".join(lines(card(version, root)))


def means_of(manifest: Manifest) -> dict[str, float]:
    """Return the mean of each candidate over the folds that define the metric; NaN without such a fold."""
    before = evaluated.means(manifest.folds, timed=manifest.trained_until is not None)
    return {name: manifest.means.get(name, mean) for name, mean in before.items()}


def headline(version: ModelVersion) -> str:
    """Return a summary: `lightgbm: average precision 0.501 (0.472–0.529); naive 0.234`."""
    ours, naive = version.metrics[version.metric], version.baseline[version.metric]
    return f"{version.algorithm}: {spoken(version.metric)} {interval(ours)}; naive {number(naive.value)}"


def spoken(metric: str) -> str:
    return metric.replace("_", " ")


def interval(measure: Measure) -> str:
    """Return an interval: `0.501 (0.472–0.529)`. Small ones have three significant digits: `0.0000104 (…)`."""
    found = (measure.value, measure.low, measure.high)
    scale = max(map(abs, found))
    digits = 3 if abs(measure.value) < 10 else 1 if abs(measure.value) < 1_000 else 0
    if 1e-12 < scale < 0.01:
        digits = 2 - math.floor(math.log10(scale))
    # A value that is rounded to 0 has no sign.
    value, low, high = (f"{round(each, digits) + 0.0:,.{digits}f}" for each in found)
    return f"{value} ({low}–{high})"


def lines(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield a card as lines of plain text, limits first. No line is much longer than `WIDTH`."""
    kept = card["evaluated"] or {}
    yield f"{card['id']}   {card['task']}, {card['algorithm']}, {card['created_at'][:16].replace('T', ' ')} UTC"
    if card["erased_at"]:
        yield f"  not reproducible: some of its rows were erased on {card['erased_at'][:10]}"
    yield f"  {rows_said(card['rows'])}"
    yield from _limits(card.get("limits", ()))
    yield ""
    yield f"  {'metric':<20} {'value (95 % interval)':<26} naive"
    for name, found in card["metrics"].items():
        yield f"  {spoken(name):<20} {interval(_measure(found)):<26} {number(found['baseline'])}"
    yield from _decided(card)
    yield from _horizons(kept)
    yield from _reached(kept)
    yield ""
    yield from _candidates(card)
    yield ""
    yield from _inputs(card)
    yield from _prepared(card["preparation"])
    yield ""
    width = max(map(len, [*card["evaluation"], "one prediction"]))
    for name, words in card["evaluation"].items():
        yield from _entry(name, words, width)
    yield from _learned(card, width)
    yield from _slices(kept, width)
    yield from _settings(card["settings"], width)
    yield from _cost(kept, width)


def _limits(found: Sequence[str]) -> Iterator[str]:
    if found:
        yield ""
        yield "  limits"
    for each in found:
        yield from textwrap.wrap(each, WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _candidates(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield the leaderboard: the mean over the folds, each fold, and the seconds."""
    board = (card["evaluated"] or {}).get("leaderboard", ())
    if not board:  # of a version from before it was kept
        board = [
            {"candidate": name, "mean": card["means"][name] if scores else None, "folds": scores}
            for name, scores in card["folds"].items()
        ]
    width = max(20, *(len(each["candidate"]) for each in board)) if board else 20
    told = [_mean(each["mean"]) for each in board]
    folds = ["  ".join(map(number, each["folds"])) for each in board]
    wide = (max([4, *map(len, told)]), max([5, *map(len, folds)]))
    last = "took" if any("seconds" in each for each in board) else ""
    yield f"  {'candidate':<{width}} {'mean':<{wide[0]}}   {'folds':<{wide[1]}}   {last}".rstrip()
    for each, mean, scores in zip(board, told, folds, strict=True):
        took = f"{each['seconds']:.2f} s" if "seconds" in each else ""
        yield f"  {each['candidate']:<{width}} {mean:<{wide[0]}}   {scores:<{wide[1]}}   {took}".rstrip()


def _mean(found: Mapping[str, Any] | float | None) -> str:
    if found is None:
        return "undefined"
    return interval(_measure(found)) if isinstance(found, Mapping) else number(found)


def _inputs(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield the most important inputs: their share, the loss when each is shuffled, and where it comes from."""
    shown = card["top_inputs"]
    lost = {each["input"]: each["loss"] for each in (card["evaluated"] or {}).get("importances", ())}
    losses = {name: interval(_measure(loss)) for name, loss in lost.items()}
    title = "loss when shuffled" if lost else ""
    width = max([5, *(len(each["input"]) for each in shown)])
    wide = max([len(title), *(len(losses.get(each["input"], "")) for each in shown)])
    middle = f"   {title:<{wide}}" if lost else ""
    yield f"  {'input':<{width}} {'share':>6}{middle}   from"
    for each in shown:
        middle = f"   {losses.get(each['input'], '–'):<{wide}}" if lost else ""
        head = f"  {each['input']:<{width}} {each['share']:>6.1%}{middle}   "
        yield from _hanging(head, ", ".join(each["sources"]))
    yield from _looked_at(card["evaluated"] or {})


def _learned(card: Mapping[str, Any], width: int) -> Iterator[str]:
    """Yield the metric by the rows that were learned from."""
    points = (card["evaluated"] or {}).get("learning", ())
    if points:
        told = (f"{number(each['measure']['value'])} from {each['rows']:,} rows" for each in points)
        yield from _entry("learning curve", f"{spoken(next(iter(card['metrics'])))} {', '.join(told)}", width)


def _cost(kept: Mapping[str, Any], width: int) -> Iterator[str]:
    cost = kept.get("cost")
    if cost:
        said = (
            f"{cost['single']:,.0f} µs alone, {cost['batch']:,.3g} µs a row in batches; {cost['bytes'] / 1024:,.0f} KiB"
        )
        yield from _entry("one prediction", said, width)


def _settings(settings: Mapping[str, Any], width: int) -> Iterator[str]:
    """Yield the settings of the algorithm; of an ensemble, those of each member on lines of its own."""
    members = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    own = ", ".join(f"{name} {setting(value)}" for name, value in settings.items() if name not in members)
    if own:
        yield from _entry("settings", own, width)
    for place, (name, value) in enumerate(members.items()):
        said = ", ".join(f"{key} {setting(each)}" for key, each in value.items())
        yield from _entry("" if place or own else "settings", f"{name}: {said}", width)


def _entry(name: str, words: str, width: int) -> Iterator[str]:
    yield from _hanging(f"  {name:<{width}}  ", words)


def _hanging(head: str, words: str) -> Iterator[str]:
    """Yield words after a head, with further lines below them."""
    yield from textwrap.wrap(
        words, max(WIDTH, len(head) + 40), initial_indent=head, subsequent_indent=" " * len(head)
    ) or [head.rstrip()]


def setting(value: Any) -> str:
    """Return the value of a setting in words."""
    if isinstance(value, Mapping):  # of a member of an ensemble
        return "(" + ", ".join(f"{name} {setting(each)}" for name, each in value.items()) + ")"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _reached(evaluated: Mapping[str, Any]) -> Iterator[str]:
    """Yield how often targets are at or below each quantile, and between the ends."""
    found = evaluated.get("reached", ())
    if found:
        yield ""
        yield f"  {'targets':<20} {'share (95 % interval)':<26} aim"
    for each in found:
        yield f"  {each['label']:<20} {interval(_measure(each['share'])):<26} {number(each['level'])}"


def _horizons(evaluated: Mapping[str, Any]) -> Iterator[str]:
    """Yield the mean absolute error of a forecast at each horizon, and its skill beside past values."""
    found = evaluated.get("horizons", ())
    if found:
        yield ""
        yield f"  {'horizon':<20} {'mae (95 % interval)':<26} {'last value, skill':<20} weeks before, skill"
    for each in found:
        past = (_past(each[name]) for name in ("last", "season"))
        yield f"  {each['horizon']:<20} {interval(_measure(each['error'])):<26} {next(past):<20} {next(past)}"


def _past(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return number(found["error"]) + ("" if found["skill"] is None else f", {found['skill']:+.1%}")


def _decided(card: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the decisions by a threshold are worth, if the model has one, and the confusion matrix."""
    decisions = (card["evaluated"] or {}).get("decisions")
    if decisions is None:
        yield from _confused(card["classes"], card["confusion"])
        yield from _pairs(card["confused"])
        yield from _classes(card["by_class"])
        return
    yield ""
    half = decisions["half"]
    beside = f"{'validation rows':<17} at ½" if half else "validation rows"
    yield f"  {'at threshold ' + number(decisions['threshold']):<20} {'value (95 % interval)':<26} {beside}"
    for name, found in decisions["measured"].items():
        expected = number(decisions["expected"][name]) if name in decisions["expected"] else "–"
        at_half = f" {interval(_measure(half[name])) if name in half else '–'}" if half else ""
        yield f"  {spoken(name):<20} {interval(_measure(found)):<26} {expected:<17}{at_half}".rstrip()
    yield from _confused(card["classes"], decisions["confusion"])


def _looked_at(evaluated: Mapping[str, Any]) -> Iterator[str]:
    """Yield how many inputs were looked at, if not all were."""
    every, shuffled = evaluated.get("inputs", 0), len(evaluated.get("importances", ()))
    if shuffled < every:
        searched = evaluated["slices"]["inputs"]
        slices = f", {searched:,} searched for slices" if searched else ""
        yield f"  {shuffled:,} of {every:,} inputs were shuffled{slices}: those with the largest shares"


def _prepared(preparation: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what is done with each input; of many, those that are left out first."""
    if not preparation:
        return
    cut = len(preparation) > MOST_PREPARED
    shown = sorted(preparation, key=lambda each: not each["left_out"])[:MOST_PREPARED] if cut else preparation
    width = max(len("prepared"), *(len(each["input"]) for each in shown))
    yield ""
    yield f"  {'prepared':<{width}} {'type':<6}   what is done"
    for each in shown:
        yield from _hanging(f"  {each['input']:<{width}} {each['type']:<6}   ", done(each))
    if cut:
        yield f"  and {len(preparation) - len(shown):,} more: --json has all"


def done(preparation: Mapping[str, Any]) -> str:
    """Return what is done with an input, and whether the user chose it."""
    return str(preparation["done"]) + (" (declared)" if preparation["declared"] else "")


def _slices(kept: Mapping[str, Any], width: int) -> Iterator[str]:
    """Yield the slices that were declared, and those that were found, in words."""
    slices = kept.get("slices", {})
    for kind, shown in (("slice", slices.get("declared", ())), ("found slice", slices.get("found", ()))):
        for each in shown:
            measure = interval(_measure(each["measure"])) if each["measure"] else "undefined"
            worse = {"loss": "higher loss", "bias": "biased"}
            why = "; " + " and ".join(worse[name] for name in each["found"]) if each["found"] else ""
            yield from _entry(kind, f"{each['where']}: {measure} on {each['rows']:,} rows{why}", width)


def number(value: float) -> str:
    """Return a number with four significant digits, and thousands apart: `0.5012`, `50,547`."""
    if abs(value) < 1e-12:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def rows_said(rows: Mapping[str, int]) -> str:
    """Return how many rows were learned from and measured on, in words."""
    if "cross-validated" in rows:
        measured = f"{rows['cross-validated']:,} rows, cross-validated"
    else:
        measured = f"{rows['train']:,} rows to train, {rows['test']:,} to test"
    return f"{measured}, {rows['unlabelled']:,} unlabelled"


def _confused(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> Iterator[str]:
    """Yield the confusion matrix: a line for each true class, a column for each decision."""
    if not matrix or len(matrix) > MOST_CLASSES:
        return
    width = max(len(f"{cell:,}") for row in matrix for cell in row)
    width = max([width, *(min(len(name), 12) for name in classes)])
    label = max(len(CORNER), *(min(len(name), 20) for name in classes))
    yield ""
    yield f"  {CORNER:<{label}} " + " ".join(f"{name[:12]:>{width}}" for name in classes)
    for name, row in zip(classes, matrix, strict=True):
        yield f"  {name[:20]:<{label}} " + " ".join(f"{cell:>{width},}" for cell in row)


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the pairs of classes that are confused most."""
    if pairs:
        yield ""
        yield f"  {'true':<20} {'decided':<20} {'rows':>8}   of the true class"
    for each in pairs:
        yield f"  {each['truth'][:20]:<20} {each['decided'][:20]:<20} {each['rows']:>8,}   {each['share']:.1%}"


def _classes(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield precision, recall and F1 of each class; of many, those with the most rows."""
    shown = sorted(found, key=lambda each: -each["rows"])[:MOST_CLASSES] if len(found) > MOST_CLASSES else found
    if shown:
        yield ""
        yield f"  {'class':<20} {'rows':>8} {'decided':>8} {'precision':>9} {'recall':>7} {'F1':>7}"
    for each in shown:
        precision, recall, f1 = (
            "–" if each[name] is None else f"{each[name]:.3f}" for name in ("precision", "recall", "f1")
        )
        counts = f"{each['rows']:>8,} {each['decided']:>8,}"
        yield f"  {each['label'][:20]:<20} {counts} {precision:>9} {recall:>7} {f1:>7}"
    if len(shown) < len(found):
        yield f"  and {len(found) - len(shown):,} classes with fewer rows: --json has all"


def _measure(found: Mapping[str, Any]) -> Measure:
    return Measure(found["value"], found["low"], found["high"], found["rows"])


def _metric_first(manifest: Manifest) -> list[str]:
    return [
        manifest.metric,
        *(name for name in manifest.metrics if name != manifest.metric and name in manifest.baseline),
    ]


def _sources(manifest: Manifest, name: str) -> tuple[str, ...]:
    return next((column.sources for column in manifest.inputs if column.name == name), ())
