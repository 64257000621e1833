"""What two versions differ in: algorithm, settings, inputs, features, data, and how they were measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mainstem.models.artifact.manifest import Manifest
from mainstem.models.versions.report import rows_said, setting
from mainstem.nodes.contenders import Contender, Differing
from mainstem.nodes.records import ModelVersion

RowsOf = Callable[[str, int], int | None]
"""Returns the rows of a relation's snapshot; None if no release has it."""

MEASURED = ("split", "measured by", "test", "gap", "folds", "intervals", "forecast", "labels", "queries")
"""What a card says of the split, in its order."""

DATASET = "dataset."


def contender(version: ModelVersion, manifest: Manifest) -> Contender:
    """Return a version as one side of a comparison."""
    split = {name: manifest.evaluation[name] for name in MEASURED if name in manifest.evaluation}
    if manifest.measured_until is not None:
        split["fitted until"] = f"{manifest.measured_until:%Y-%m-%d %H:%M}"
    return Contender(
        version.id,
        version.task,
        version.algorithm,
        version.created_at,
        version.metrics,
        version.baseline,
        manifest.settings,
        version.inputs,
        {**split, "rows": rows_said(version.rows)},
        version.snapshots,
    )


def differing(
    first: tuple[Contender, Manifest], second: tuple[Contender, Manifest], rows: RowsOf
) -> tuple[tuple[Differing, ...], tuple[str, ...]]:
    """Return what differs, in the order of a card, and the parts that both have and in which nothing differs."""
    found, same = list[Differing](), list[str]()
    sides = tuple(_facts(*side, rows) for side in (first, second))
    for part in sides[0]:
        one, two = (side[part] for side in sides)
        names = [name for name in dict.fromkeys([*one, *two]) if one.get(name) != two.get(name)]
        found += [Differing(part, name, one.get(name), two.get(name)) for name in names]
        same += [part] if one and not names else []
    return tuple(found), tuple(same)


def _facts(side: Contender, manifest: Manifest, rows: RowsOf) -> dict[str, dict[str, str]]:
    features = {name: made for name, made in manifest.definitions.items() if "." in name}
    declared = {name: made for name, made in manifest.definitions.items() if "." not in name}
    return {
        "version": {
            "task": side.task,
            "classes": ", ".join(manifest.classes),
            "algorithm": side.algorithm,
            "threshold": "" if manifest.threshold is None else f"{manifest.threshold:.4g}",
        },
        "setting": dict(_settings(side.settings)),
        "input": {column.name: "number" if column.type == "float" else "text" for column in side.inputs},
        "prepared": {each.input: each.done for each in manifest.preparation},
        "feature": {name: f"definition {made[:7]}" for name, made in features.items()},
        "declared": {name: f"definition {made[:7]}" for name, made in declared.items()},
        "data": {
            name: f"snapshot {id}" + ("" if rows(name, id) is None else f", {rows(name, id):,} rows")
            for name, id in side.snapshots.items()
            if not name.startswith(DATASET)
        },
        "split": dict(side.split),
        "library": dict(manifest.versions),
    }


def _settings(settings: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings by name; those of an ensemble's members as `member.name`."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{of}{name}.")
        else:
            yield f"{of}{name}", setting(value)
