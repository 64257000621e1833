"""Fit a version again with its recorded choices, not with a search, and compare each step with what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mainstem.errors import MainstemError, ModelError
from mainstem.models.artifact.export import digest
from mainstem.models.artifact.manifest import EARLIER, MODEL, Manifest, versions
from mainstem.models.artifact.scorer import run, session
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.evaluation.comparison import Comparison, Report
from mainstem.models.training.beyond import Stored
from mainstem.models.training.blueprint import Blueprint
from mainstem.models.training.choice import BEYOND, comparison
from mainstem.models.training.choosing import content
from mainstem.models.training.offer import Kept, offered
from mainstem.models.training.prepared import Prepared, prepare
from mainstem.nodes.reproductions import Compared, Reproduction

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """What a version needs whose trees an engine fitted: its rows `beyond` this process, and what reads its files."""

    beyond: Callable[[Prepared], Stored | None]
    artifact: Callable[[str], bytes]


def reproduced(
    blueprint: Blueprint,
    fingerprint: str,
    manifest: Manifest,
    dataset: pa.Table,
    report: Report,
    elsewhere: Elsewhere | None = None,
) -> Reproduction:
    """Fit on the stored rows of a version's dataset that were drawn for this process, and compare. It also fits if
    libraries or the definition differ, and says so.

    Raises `ModelError` for a version whose choices were not recorded.
    """
    if not manifest.choice:
        raise ModelError(
            "the version does not tell what was chosen",
            got=f"{manifest.model}-{manifest.number}, trained before choices were recorded",
            hint="mainstem run trains a new one after a change; that can be reproduced",
        )
    steps = [*_before(fingerprint, manifest)]
    try:
        steps += _fitted(blueprint, manifest, dataset, report, elsewhere)
    except MainstemError as problem:
        steps.append(Compared("the fit", False, str(problem)))
    fits = [step for step in steps if step.step in ARTIFACTS]
    equal = any(step.step == MODEL for step in fits) and all(step.same for step in fits)
    exact = not any(step.told.endswith(TOLERATED) for step in fits)
    return Reproduction(f"{manifest.model}-{manifest.number}", equal, tuple(steps), exact)


ARTIFACTS = (MODEL, EARLIER[0])


def _before(fingerprint: str, manifest: Manifest) -> Iterator[Compared]:
    now, then = versions(), manifest.versions
    other = [f"{name} {then[name]} then, {now.get(name, 'none')} now" for name in then if now.get(name) != then[name]]
    yield Compared("libraries", not other, "; ".join(other) or "the same versions")
    same = fingerprint == manifest.fingerprint
    told = "the same" if same else "the model, or what it is made from, is declared otherwise today"
    yield Compared("definition", same, told)


CLOSE = 0.01
"""How far scores of the same fit by an engine may be apart: the root of the mean square, in standard deviations."""

TOLERATED = f"within {CLOSE:.0%} of their standard deviation"


def _fitted(
    blueprint: Blueprint, manifest: Manifest, dataset: pa.Table, report: Report, elsewhere: Elsewhere | None
) -> Iterator[Compared]:
    report("the rows …")
    prepared = _prepared(blueprint, manifest, dataset)
    if manifest.choice.get(BEYOND):
        prepared = replace(prepared, beyond=elsewhere.beyond(prepared) if elsewhere is not None else None)
        if prepared.beyond is None:
            raise ModelError("Spark fitted the trees of this version", expected='a profile with engine = "spark"')
    now = content(prepared.examples)
    told = f"{len(prepared.examples):,} labelled rows"
    yield Compared("rows", now == manifest.choice["rows"], f"{told}, {_equal(now, manifest.choice['rows'])}")
    compared = comparison(manifest.choice, blueprint.model.candidates or ())
    parts = {MODEL: (prepared.learned, manifest.sha256)}
    if EARLIER[0] in manifest.earlier and prepared.parts.holdout is not None:
        parts = {EARLIER[0]: (prepared.train, manifest.earlier[EARLIER[0]]), **parts}
    for file, (examples, expected) in parts.items():
        count = len(examples) if examples.beyond is None else examples.beyond.rows
        report(f"{compared.chosen} on {count:,} rows …")
        made = _artifact(examples, compared, prepared.test.rows)
        same = (found := digest(made)) == expected
        told = f"{compared.chosen} on {count:,} rows, {_equal(found, expected)}"
        if not same and examples.beyond is not None and elsewhere is not None:
            same = close(elsewhere.artifact(file), made, prepared.test.rows)
            told += f"; scores of the test rows are {'' if same else 'not '}{TOLERATED}"
        yield Compared(file, same, told)


def close(one: bytes, other: bytes, rows: Rows) -> bool:
    """Return whether two artifacts score rows alike, within the tolerance for trees that an engine fits."""
    scores, others = run(session(one), rows), run(session(other), rows)
    return bool(np.sqrt(np.mean((scores - others) ** 2)) <= CLOSE * max(float(scores.std()), 1e-12))


def _prepared(blueprint: Blueprint, manifest: Manifest, dataset: pa.Table) -> Prepared:
    """Return the rows with the inputs that the version has. Raises `ModelError`."""
    try:
        return prepare(blueprint.model, manifest.task, dataset, manifest.inputs, blueprint.key)
    except KeyError as problem:
        raise ModelError(
            "the stored rows lack a column that the model is declared with today",
            got=str(problem.args[0]),
            expected=f"the model as it was when {manifest.model}-{manifest.number} was trained",
            hint="check out the project as it was",
        ) from None


def _artifact(examples: Examples, compared: Comparison, rows: Rows) -> bytes:
    return offered(examples, compared, rows, Kept()).onnx


def _equal(found: str, expected: str) -> str:
    return f"sha256 {found[:12]}…" if found == expected else f"sha256 {found[:12]}… and not {expected[:12]}…"
