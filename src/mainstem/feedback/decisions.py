"""Decisions about findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mainstem.errors import NotFound, RequestError, close_matches
from mainstem.feedback import remedies
from mainstem.nodes.findings import Finding, Remedy
from mainstem.nodes.records import now
from mainstem.ports import State


def accept(state: State, id: str, root: Path) -> Remedy:
    """Write a finding's remedy to remedies.toml and mark it accepted. The next run applies and verifies it.

    Accepting it again changes nothing. Raises `NotFound` for an unknown id, and `RequestError` for a finding that has
    another decision or no remedy.
    """
    finding = _found(state, id)
    path = root / remedies.FILE
    present = remedies.read(path)
    if finding.state == "accepted":
        written = next((r for r in present if r.finding == id), None)
        if written is not None:
            return written
    elif finding.state != "open":
        raise _decided(finding)
    if finding.rule is None:
        raise RequestError(
            f"finding {id} has no remedy to accept",
            got=finding.summary,
            hint="correct the data at its source, or reject the finding with a reason",
        )
    remedy = Remedy(id, finding.rule, now().replace(microsecond=0), finding.summary)
    # The file first: after a crash in between, accepting the open finding again completes the decision.
    remedies.write(path, [*(r for r in present if r.finding != id), remedy])
    state.save(replace(finding, state="accepted"))
    return remedy


def reject(state: State, id: str, reason: str, until: datetime | None = None) -> Finding:
    """Reject a finding, and mute its kind on its column until a date (None: until the model version is replaced).

    Raises `NotFound` for an unknown id, and `RequestError` for a decided finding, an empty reason or a past date.
    """
    finding = _found(state, id)
    if finding.state not in ("open", "failed"):
        raise _decided(finding)
    if not reason.strip():
        raise RequestError(f"finding {id} cannot be rejected without a reason", hint='--reason "a strike"')
    moment = until if until is None or until.tzinfo else until.replace(tzinfo=UTC)
    if moment is not None and moment <= now():
        raise RequestError("a finding must be muted until a future date", got=f"{moment:%Y-%m-%d}")
    rejected = replace(finding, state="rejected", reason=reason.strip(), muted_until=moment)
    state.save(rejected)
    return rejected


def muted(findings: Iterable[Finding], at: datetime, kind: str, node: str, column: str, version: str) -> Finding | None:
    """Return the finding that mutes others of its kind on that column, if there is one."""
    for finding in findings:
        if (finding.kind, finding.node, finding.column) != (kind, node, column):
            continue
        if finding.state in ("open", "accepted"):
            return finding
        if finding.state == "rejected":
            still = finding.model_version == version if finding.muted_until is None else finding.muted_until > at
            if still:
                return finding
    return None


def _found(state: State, id: str) -> Finding:
    finding = state.get(Finding, id)
    if finding is None:
        known = [f.id for f in state.find(Finding)]
        raise NotFound(
            f"unknown finding {id!r}",
            expected=", ".join(known[-10:]) or "no finding exists yet",
            hint=close_matches(id, known) or close_matches(id.upper(), known),
        )
    return finding


def _decided(finding: Finding) -> RequestError:
    return RequestError(
        f"finding {finding.id} is {finding.state} already",
        got=finding.reason,
        expected="an open finding",
        hint="mainstem finding list --state open",
    )
