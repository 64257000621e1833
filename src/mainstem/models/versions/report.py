"""A model card: what a version is, how it compares with the naive baseline, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mainstem.models.artifact.manifest import Manifest, read
from mainstem.nodes.records import Measure, ModelVersion

TOP = 10


def card(version: ModelVersion, root: Path) -> dict[str, Any]:
    """Return plain data for `mainstem show`, ready for JSON. Raises `ModelError` if the artifact is
    missing or damaged."""
    manifest = read(root / version.artifact)
    builtins: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(manifest))
    return {
        "id": version.id,
        "headline": headline(version),
        "task": manifest.task,
        "algorithm": manifest.algorithm,
        "settings": builtins["settings"],
        "metrics": {
            name: {**builtins["metrics"][name], "baseline": builtins["baseline"][name]["value"]}
            for name in _metric_first(manifest)
        },
        "folds": builtins["folds"],
        "top_inputs": [
            {"input": name, "share": round(share, 4), "sources": list(_sources(manifest, name))}
            for name, share in list(manifest.importances.items())[:TOP]
        ],
        "rows": builtins["rows"],
        "evaluation": builtins["evaluation"],
        "trained_until": builtins["trained_until"],
        "snapshots": builtins["snapshots"],
        "gate": builtins["gate"],
        "versions": builtins["versions"],
    }


def text(version: ModelVersion, root: Path) -> str:
    """Return the card as plain text."""
    return "\n".join(_lines(version, read(root / version.artifact)))


def headline(version: ModelVersion) -> str:
    """Return a summary: `lightgbm: average precision 0.501 (0.472–0.529); naive 0.234`."""
    ours, naive = version.metrics[version.metric], version.baseline[version.metric]
    return f"{version.algorithm}: {spoken(version.metric)} {interval(ours)}; naive {naive.value:.3g}"


def spoken(metric: str) -> str:
    return metric.replace("_", " ")


def interval(measure: Measure) -> str:
    """Return an interval: `0.501 (0.472–0.529)`."""
    digits = 3 if abs(measure.value) < 10 else 1
    value, low, high = (f"{number:.{digits}f}" for number in (measure.value, measure.low, measure.high))
    return f"{value} ({low}–{high})"


def _lines(version: ModelVersion, manifest: Manifest) -> Iterator[str]:
    yield f"{version.id}   {manifest.task}, {manifest.algorithm}, {version.created_at:%Y-%m-%d %H:%M} UTC"
    if version.erased_at is not None:
        yield f"  not reproducible: some of its rows were erased on {version.erased_at:%Y-%m-%d}"
    rows = manifest.rows
    yield f"  {rows['train']:,} rows to train, {rows['test']:,} to test, {rows['unlabelled']:,} unlabelled"
    yield ""
    yield f"  {'metric':<20} {'on the test rows':<24} naive"
    for name in _metric_first(manifest):
        yield f"  {spoken(name):<20} {interval(manifest.metrics[name]):<24} {manifest.baseline[name].value:.3f}"
    yield ""
    for name, scores in manifest.folds.items():
        yield f"  folds, {name:<13} {'  '.join(f'{score:.3f}' for score in scores)}"
    yield ""
    yield f"  {'input':<28} {'share':>6}   from"
    for name, share in list(manifest.importances.items())[:TOP]:
        yield f"  {name:<28} {share:>6.1%}   {', '.join(_sources(manifest, name))}"
    yield ""
    for name, words in manifest.evaluation.items():
        yield f"  {name}: {words}"


def _metric_first(manifest: Manifest) -> list[str]:
    return [
        manifest.metric,
        *(name for name in manifest.metrics if name != manifest.metric and name in manifest.baseline),
    ]


def _sources(manifest: Manifest, name: str) -> tuple[str, ...]:
    return next((column.sources for column in manifest.inputs if column.name == name), ())
