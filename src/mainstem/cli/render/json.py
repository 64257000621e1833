"""JSON output: each command prints one value."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from mainstem.cli.render.base import Parity, causes_of
from mainstem.masking import masked_all

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.errors import MainstemError
    from mainstem.nodes.comparisons import Comparison
    from mainstem.nodes.contenders import SideBySide
    from mainstem.nodes.definition import Evolved
    from mainstem.nodes.descriptions import Description
    from mainstem.nodes.differences import Difference
    from mainstem.nodes.erasures import Erasure
    from mainstem.nodes.explanations import Explanation
    from mainstem.nodes.findings import Finding, Remedy
    from mainstem.nodes.overrides import Override
    from mainstem.nodes.records import CheckResult, Release, RunRecord
    from mainstem.nodes.reproductions import Reproduction
    from mainstem.nodes.status import Details, MonitorHistory, ProjectStatus
    from mainstem.planning.plan import Plan
    from mainstem.planning.runner import Event
    from mainstem.ports import Verification
    from mainstem.project.branches import BranchInfo
    from mainstem.project.compaction import Compacted
    from mainstem.project.suggest import Suggestions
    from mainstem.sources.looking import Look


class JsonOutput:
    def plan(self, plan: Plan, remedies: Sequence[Remedy]) -> None:
        said = {"branch": plan.branch, "steps": plan.steps, "unchanged": plan.unchanged}
        _print({**said, "changed": plan.changed, "sample": plan.sample, "remedies": remedies})

    @contextmanager
    def progress(self) -> Iterator[Callable[[Event], None]]:
        yield lambda _: None

    def run(self, record: RunRecord, findings: Mapping[str, Finding]) -> None:
        _print({**_plain(record), "findings": findings})

    def checks(self, results: Mapping[str, Sequence[CheckResult]]) -> None:
        _print(
            {
                node: [{**_plain(r), "passed": r.passed if r.judged else None} for r in found]
                for node, found in results.items()
            }
        )

    def files(self, found: Verification) -> None:
        _print(found)

    def status(self, status: ProjectStatus) -> None:
        _print(status)

    def compacted(self, found: Sequence[Compacted]) -> None:
        _print(list(found))

    def erased(self, found: Erasure) -> None:
        _print(found)

    def shown(self, node: Details) -> None:
        facts = _plain(node)
        _print({name: fact for name, fact in facts.items() if name != "known" or fact is not None})

    def histories(self, found: Sequence[MonitorHistory], limit: int) -> None:
        _print([{**_plain(each), "points": _plain(list(each.points)[-limit:] if limit else [])} for each in found])

    def described(self, found: Description) -> None:
        _print({**_plain(found), "sampled": found.sampled})

    def explained(self, found: Sequence[Explanation]) -> None:
        _print(found[0] if len(found) == 1 else list(found))

    def suggested(self, found: Suggestions) -> None:
        clean = [{"code": each.code, "reason": each.reason} for each in found.clean]
        checks = [{"code": each.code, "reason": each.reason} for each in found.checks]
        _print({"clean": clean, "checks": checks})

    def table(self, table: pa.Table, limit: int) -> None:
        _print({"columns": table.column_names, "rows": table.slice(0, limit).to_pylist(), "total": table.num_rows})

    def parity(self, reports: Sequence[Parity]) -> None:
        _print({"ok": all(report.ok for report in reports), "reports": list(reports)})

    def compared(self, found: Sequence[Comparison]) -> None:
        _print(list(found))

    def beside(self, found: SideBySide) -> None:
        _print(found)

    def reproduced(self, found: Reproduction) -> None:
        _print(found)

    def difference(self, found: Difference) -> None:
        _print(found)

    def branches(self, found: Sequence[BranchInfo]) -> None:
        _print(found)

    def release(self, release: Release, what: str) -> None:
        _print(release)

    def releases(self, releases: Sequence[Release]) -> None:
        _print(releases)

    def findings(self, findings: Sequence[Finding]) -> None:
        _print(findings)

    def finding(self, finding: Finding) -> None:
        _print(finding)

    def remedy(self, remedy: Remedy) -> None:
        _print(remedy)

    def keys(self, keys: Sequence[Any]) -> None:
        _print(keys)

    def overrides(self, found: Sequence[Override]) -> None:
        _print(found)

    def looked(self, found: Look) -> None:
        _print(found)

    def locked(self, found: Mapping[str, Evolved]) -> None:
        columns = ((name, evolved.items()) for name, evolved in found.items())
        _print({name: {c: {"before": was, "now": now} for c, (was, now) in changed} for name, changed in columns})

    def said(self, text: str, hint: str | None = None, **facts: Any) -> None:
        _print(facts)

    def error(self, error: MainstemError) -> None:
        causes = causes_of(error)
        more = {"causes": [_described(cause) for cause in causes]} if causes else {}
        _print({"error": {**_described(error, but="got" if causes else ""), **more}}, sys.stderr)

    def interrupted(self, what: str) -> None:
        _print({"error": {"kind": "Interrupted", "what": what}}, sys.stderr)


def _described(error: MainstemError, but: str = "") -> dict[str, str]:
    parts = {"kind": error.kind, **error.parts}
    return {name: text for name, text in parts.items() if text and name != but}


def _print(value: Any, to: TextIO | None = None) -> None:
    text = msgspec.json.format(msgspec.json.encode(masked_all(_plain(value))), indent=2)
    (to or sys.stdout).write(text.decode() + "\n")


def _plain(value: Any) -> Any:
    """Return values that JSON has: NaN and infinity become null."""
    return _finite(msgspec.to_builtins(value, enc_hook=str, str_keys=True))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
