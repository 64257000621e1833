"""Two versions side by side, and which one is better on rows that neither was trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mainstem.errors import MainstemError, ModelError, NotFound
from mainstem.models.artifact.manifest import read
from mainstem.models.versions import comparing
from mainstem.models.versions.differing import contender, differing
from mainstem.models.versions.registry import key_of
from mainstem.models.versions.report import interval, spoken
from mainstem.nodes.comparisons import Verdict
from mainstem.nodes.contenders import SideBySide
from mainstem.nodes.records import Measure, ModelVersion, Release
from mainstem.ports import Relation
from mainstem.project.branch import Branch
from mainstem.project.report import version_of
from mainstem.project.reproducing import dataset_of

if TYPE_CHECKING:
    from mainstem.models.versions.comparing import Evidence


def is_version(branch: Branch, name: str) -> bool:
    """Return whether a name is the id of a version, and not the name of a node."""
    return name not in branch.sound and branch.adapters.state.get(ModelVersion, name) is not None


def side_by_side(branch: Branch, first: str, second: str) -> SideBySide:
    """Compare two versions. A model stands for its newest version, an endpoint for its champion.

    Raises `UnknownName`, and `ModelError` for a damaged artifact.
    """
    one, two = version_of(branch, first), version_of(branch, second)
    root = branch.adapters.artifacts
    manifests = [read(root / each.artifact) for each in (one, two)]
    sides = [(contender(each, made), made) for each, made in zip((one, two), manifests, strict=True)]
    rows = {
        (name, snapshot.id): snapshot.rows
        for release in branch.adapters.state.find(Release)
        for name, snapshot in release.tables.items()
    }
    differ, alike = differing(sides[0], sides[1], lambda name, id: rows.get((name, id)))
    found = SideBySide(sides[0][0], sides[1][0], two.metric, differ, alike, None, "")
    try:
        evidence = _evidence(branch, one, two)
    except (ModelError, NotFound) as problem:
        return replace(found, text=_unknown(one, two, problem))
    verdict = _verdict(evidence.gain)
    same = (evidence.champion, evidence.challenger)
    text = _text(one, two, evidence, verdict)
    return replace(found, verdict=verdict, text=text, gain=evidence.gain, on_same_rows=same, metric=evidence.metric)


def _evidence(branch: Branch, first: ModelVersion, second: ModelVersion) -> Evidence:
    """Return the evidence on rows that neither was trained on. The newer version's dataset is the one that has them."""
    if first.id == second.id:
        raise ModelError("both are the same version")
    if first.created_at > second.created_at:
        return _turned(_evidence(branch, second, first))
    newer = branch.adapters.lake.scan(dataset_of(branch, second))
    key = key_of(branch.sound, second.model) if second.model in branch.sound else ()
    with branch.adapters.engine.session({f"dataset.{second.model}": newer}) as opened:
        return comparing.compare(opened, branch.adapters.artifacts, first, second, _rows(branch, first), key)


def _rows(branch: Branch, version: ModelVersion) -> Relation | None:
    try:
        return branch.adapters.lake.scan(dataset_of(branch, version))
    except NotFound:
        return None


def _turned(found: Evidence) -> Evidence:
    gain = found.gain
    turned = Measure(-gain.value, -gain.high, -gain.low, gain.rows)
    return replace(found, champion=found.challenger, challenger=found.champion, gain=turned)


def _verdict(gain: Measure) -> Verdict:
    return "better" if gain.low > 0 else "worse" if gain.high < 0 else "no difference shown"


def _unknown(first: ModelVersion, second: ModelVersion, problem: MainstemError) -> str:
    why = problem.what + (f": {problem.got}" if problem.got else "")
    needed = f"; {problem.expected} are needed" if problem.expected and problem.what.startswith("too few") else ""
    return f"whether {second.id} is better than {first.id} is not known: {why}{needed}"


def _text(first: ModelVersion, second: ModelVersion, found: Evidence, verdict: Verdict) -> str:
    values = (interval(each).split(" (")[0] for each in (found.champion, found.challenger))
    name, other = second.id, first.id
    said = {
        "better": f"{name} is better than {other}",
        "worse": f"{name} is worse than {other}",
        "no difference shown": f"no difference between {other} and {name} is shown",
    }[verdict]
    gain, by = found.gain, "better by"
    if verdict == "worse":
        gain, by = replace(gain, value=-gain.value, low=-gain.high, high=-gain.low), "worse by"
    told = f"{spoken(found.metric)} {' → '.join(values)}, {by} {interval(gain)}"
    return f"{said}: {told} on {found.gain.rows:,} rows that neither was trained on"
