"""Fit a version again with its recorded choices, not with a search, and compare each step with what it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mainstem.errors import MainstemError, ModelError
from mainstem.models.artifact.export import digest
from mainstem.models.artifact.manifest import EARLIER, MODEL, Manifest, versions
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.evaluation.comparison import Comparison, Report
from mainstem.models.training.blueprint import Blueprint
from mainstem.models.training.choice import comparison
from mainstem.models.training.choosing import content
from mainstem.models.training.offer import Kept, offered
from mainstem.models.training.prepared import Prepared, prepare
from mainstem.nodes.reproductions import Compared, Reproduction

if TYPE_CHECKING:
    import pyarrow as pa


def reproduced(
    blueprint: Blueprint, fingerprint: str, manifest: Manifest, dataset: pa.Table, report: Report
) -> Reproduction:
    """Fit on the stored rows of a version's dataset, and compare. It also fits if libraries or the
    definition differ, and says so.

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
        steps += _fitted(blueprint, manifest, dataset, report)
    except MainstemError as problem:
        steps.append(Compared("the fit", False, str(problem)))
    equal = any(step.step == MODEL for step in steps) and all(step.same for step in steps if step.step in ARTIFACTS)
    return Reproduction(f"{manifest.model}-{manifest.number}", equal, tuple(steps))


ARTIFACTS = (MODEL, EARLIER[0])


def _before(fingerprint: str, manifest: Manifest) -> Iterator[Compared]:
    now, then = versions(), manifest.versions
    other = [f"{name} {then[name]} then, {now.get(name, 'none')} now" for name in then if now.get(name) != then[name]]
    yield Compared("libraries", not other, "; ".join(other) or "the same versions")
    same = fingerprint == manifest.fingerprint
    told = "the same" if same else "the model, or what it is made from, is declared otherwise today"
    yield Compared("definition", same, told)


def _fitted(blueprint: Blueprint, manifest: Manifest, dataset: pa.Table, report: Report) -> Iterator[Compared]:
    report("the rows …")
    prepared = _prepared(blueprint, manifest, dataset)
    now = content(prepared.examples)
    told = f"{len(prepared.examples):,} labelled rows"
    yield Compared("rows", now == manifest.choice["rows"], f"{told}, {_equal(now, manifest.choice['rows'])}")
    compared = comparison(manifest.choice, blueprint.model.candidates or ())
    parts = {MODEL: (prepared.learned, manifest.sha256)}
    if EARLIER[0] in manifest.earlier and prepared.parts.holdout is not None:
        parts = {EARLIER[0]: (prepared.train, manifest.earlier[EARLIER[0]]), **parts}
    for file, (examples, expected) in parts.items():
        report(f"{compared.chosen} on {len(examples):,} rows …")
        found = digest(_artifact(examples, compared, prepared.test.rows))
        told = f"{compared.chosen} on {len(examples):,} rows, {_equal(found, expected)}"
        yield Compared(file, found == expected, told)


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
