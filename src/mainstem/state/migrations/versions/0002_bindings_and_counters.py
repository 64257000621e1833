"""Bind endpoints to versions by role, give remedies a verb, take numbers from counters, keep verdicts of published
runs."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

records = sa.table("records", sa.column("kind", sa.String), sa.column("id", sa.String), sa.column("body", sa.Text))


def upgrade() -> None:
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counters, [{"name": "finding", "last": _last_finding()}])
    for id, release in _bodies("Release"):
        bound = {name: _binding(version) for name, version in release.get("endpoints", {}).items()}
        _write("Release", id, {**release, "endpoints": bound})
    for id, finding in _bodies("Finding"):
        if finding.get("rule"):
            _write("Finding", id, {**finding, "rule": _with_verb(finding["rule"])})
    published = {id for id, run in _bodies("RunRecord") if run["status"] == "published"}
    for id, verdict in _bodies("Verdict"):
        if verdict["run"] not in published:
            op.get_bind().execute(sa.delete(records).where(records.c.kind == "Verdict", records.c.id == id))


def downgrade() -> None:
    for id, release in _bodies("Release"):
        champions = {name: bound["champion"] for name, bound in release.get("endpoints", {}).items()}
        _write("Release", id, {**release, "endpoints": champions})
    for id, finding in _bodies("Finding"):
        if finding.get("rule"):
            rule = finding["rule"]
            _write("Finding", id, {**finding, "rule": {**rule.pop("verb"), **rule}})
    op.drop_table("counters")


def _binding(version: str) -> dict[str, object]:
    return {"champion": version, "challenger": None, "shadow": [], "shares": {}}


def _with_verb(rule: dict[str, Any]) -> dict[str, Any]:
    verb = {name: rule[name] for name in ("kind", "column", "factor", "offset") if name in rule}
    return {**{name: rule[name] for name in ("node", "where", "guard")}, "verb": verb}


def _last_finding() -> int:
    numbers = [int(id[1:]) for id, _ in _bodies("Finding") if id[1:].isdigit()]
    return max(numbers, default=0)


def _bodies(kind: str) -> list[tuple[str, dict[str, Any]]]:
    query = sa.select(records.c.id, records.c.body).where(records.c.kind == kind)
    return [(row.id, json.loads(row.body)) for row in op.get_bind().execute(query)]


def _write(kind: str, id: str, body: dict[str, Any]) -> None:
    statement = sa.update(records).where(records.c.kind == kind, records.c.id == id)
    op.get_bind().execute(statement.values(body=json.dumps(body, ensure_ascii=False)))
