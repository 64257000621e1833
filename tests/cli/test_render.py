"""What commands print, as text in a pipe and as JSON, from the records that the project hands out."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from msgspec import convert

from mainstem.cli.render import output
from mainstem.errors import RunFailed, SourceUnreachable
from mainstem.nodes.findings import Evidence, Finding, Recovery, Remedy, Rival, Rule
from mainstem.nodes.records import Binding, CheckResult, Measure, Release, RunRecord, StepRecord
from mainstem.nodes.status import ProjectStatus, RelationDetails
from mainstem.nodes.verbs import Rescale
from mainstem.planning.plan import Plan, Step
from mainstem.planning.runner import Event

NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
RULE = Rule("departures", Rescale("dep_delay", 1 / 60), "departed_at >= '2013-12-01'", "abs(dep_delay) < 2000")
FINDING = Finding(
    id="fnd-1",
    kind="source_change",
    node="departures",
    column="dep_delay",
    partition="2013-12",
    rows=27_000,
    endpoint="arrivals",
    model_version="late/1",
    window=(NOON, NOON + timedelta(days=30)),
    evidence=(Evidence("ks", 0.8, 12.5, 750.0, 1e-12),),
    summary="departures.dep_delay is 60 times what it was [in seconds?]",
    metric="average_precision",
    cost=Measure(0.112, 0.101, 0.123, 27_000),
    detectable=0.006,
    rivals=(Rival("the labels are wrong", 0.001, -0.004, 0.006),),
    lineage=("late", "airport__delay_1h", "airport", "departures.dep_delay"),
    rule=RULE,
    promised=Recovery(0.515, 0.62, Measure(0.105, 0.09, 0.12, 27_000)),
)
CHECKS = (
    CheckResult("not_null(origin)", "error", 0, 100),
    CheckResult("between(distance, 50, 6000)", "quarantine", 3, 100),
)
RECORD = RunRecord(
    id="run-1",
    branch="main",
    status="published",
    started_at=NOON,
    ended_at=NOON + timedelta(seconds=75.5),
    steps=(
        StepRecord("build", "legs", "never built", "done", 1.25, 336_776, 336_771, 5, CHECKS),
        StepRecord("train", "late", "never trained", "skipped", message="the run will not be published"),
    ),
    release="rel-1",
)


@pytest.fixture
def text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("COLUMNS", "120")

    def shown(method: str, *arguments: object, **more: object) -> str:
        getattr(output(json=False), method)(*arguments, **more)
        return capsys.readouterr().out

    return shown


@pytest.fixture
def data(capsys: pytest.CaptureFixture[str]) -> Callable[..., object]:
    def shown(method: str, *arguments: object, **more: object) -> object:
        getattr(output(json=True), method)(*arguments, **more)
        return json.loads(capsys.readouterr().out)

    return shown


def test_a_plan_says_why(text, data) -> None:
    plan = Plan("main", (Step("build", "legs", "flights changed"),), ("planes",))
    lines = text("plan", plan, []).splitlines()
    assert lines[0].split() == ["step", "node", "why"]
    assert lines[2].split(maxsplit=2) == ["build", "legs", "flights changed"]
    assert data("plan", plan, [])["steps"][0]["reason"] == "flights changed"
    assert text("plan", Plan("dev", ()), []) == "nothing to do: branch dev is as declared\n"


def test_a_run_shows_that_rows_in_are_published_plus_quarantined(text, capsys) -> None:
    out = output(json=False)
    with out.progress() as listen:
        for step in RECORD.steps:
            listen(Event("ended", Step(step.kind, step.node, step.reason), record=step))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("✓ build legs") and "1.2 s" in lines[0]
    assert lines[0].endswith("336,776 rows in = 336,771 published + 5 quarantined")
    assert lines[1].strip() == "3 violations of between(distance, 50, 6000) (quarantine)"
    assert lines[2].startswith("– train late") and lines[2].endswith("the run will not be published")
    assert text("run", RECORD, {}) == "published in 75.5 s: run run-1 on branch main, release rel-1\n"


def test_a_failed_step_shows_what_is_wrong(capsys) -> None:
    failed = StepRecord("collect", "weather", "never collected", "failed", 0.1, error="gone\n  hint: is it up?")
    with output(json=False).progress() as listen:
        listen(Event("ended", Step("collect", "weather", ""), record=failed))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("✗ collect weather") and lines[0].endswith("  gone") and len(lines) == 1


def test_a_failed_run_shows_each_cause_once(capsys) -> None:
    failure = RunFailed("collect weather failed; nothing was published", got="gone\n  hint: is it up?", hint="mend it")
    failure.causes = (SourceUnreachable("gone", hint="is it up?"),)
    output(json=False).error(failure)
    assert [line.split(maxsplit=1) for line in capsys.readouterr().err.splitlines()] == [
        ["SourceUnreachable:", "gone"],
        ["hint", "is it up?"],
        ["RunFailed:", "collect weather failed; nothing was published"],
        ["hint", "mend it"],
    ]
    output(json=True).error(failure)
    assert json.loads(capsys.readouterr().err)["error"] == {
        "kind": "RunFailed",
        "what": "collect weather failed; nothing was published",
        "hint": "mend it",
        "causes": [{"kind": "SourceUnreachable", "what": "gone", "hint": "is it up?"}],
    }


def test_a_runs_json_has_its_findings(data) -> None:
    shown = data("run", RECORD, {"fnd-1": FINDING})
    assert shown["steps"][0]["quarantined"] == 5
    assert shown["findings"]["fnd-1"]["cost"]["value"] == 0.112


def test_checks(text, data) -> None:
    lines = text("checks", {"legs": CHECKS}).splitlines()
    assert "passed" in lines[2] and "3 violations" in lines[3]
    assert [check["passed"] for check in data("checks", {"legs": CHECKS})["legs"]] == [True, False]


def test_a_finding_is_a_card_with_its_remedy(text, data) -> None:
    card = text("finding", FINDING)
    for words in (
        "fnd-1  open  source_change",
        "60 times what it was [in seconds?]",
        "0.112 [0.101, 0.123]",
        "27,000 predictions of arrivals, 2013-12-01 12:00 – 2013-12-31 12:00",
        "late ← airport__delay_1h ← airport ← departures.dep_delay",
        "0.515 → 0.620, that is 0.105 [0.090, 0.120]",
        "the labels are wrong",
        "+ factor = 0.016666666666666666",
        "mainstem finding accept fnd-1",
    ):
        assert words in card
    assert data("finding", FINDING)["rule"]["verb"]["factor"] == 1 / 60


def test_findings_in_a_table(text, data) -> None:
    harmless = replace(FINDING, id="fnd-2", harmless=True, cost=None)
    lines = text("findings", [FINDING, harmless]).splitlines()
    assert lines[2].rstrip().endswith("0.112 [0.101, 0.123]") and lines[3].rstrip().endswith("nothing")
    assert lines[-1] == "fnd-2  departures.dep_delay is 60 times what it was [in seconds?]"
    assert [f["id"] for f in data("findings", [FINDING, harmless])] == ["fnd-1", "fnd-2"]
    assert text("findings", []) == "no findings\n"


def test_an_accepted_remedy(text) -> None:
    shown = text("remedy", Remedy("fnd-1", RULE))
    assert "written to remedies.toml" in shown and '+ column = "dep_delay"' in shown


def test_rows_of_a_query(text, data) -> None:
    table = pa.table({"carrier": ["UA", None], "late": [0.25, float("nan")]})
    lines = text("table", table, 1).splitlines()
    assert lines[0].split() == ["carrier", "late"] and lines[2].split() == ["UA", "0.25"]
    assert lines[-1] == "the first 1 of 2 rows"
    assert data("table", table, 2) == {
        "columns": ["carrier", "late"],
        "rows": [{"carrier": "UA", "late": 0.25}, {"carrier": None, "late": None}],
        "total": 2,
    }


def test_a_row_that_is_too_wide_becomes_lines(text) -> None:
    table = pa.table({f"column_{n}": ["x" * 40] for n in range(3)} | {"last": [1]})
    assert text("table", table, 5).splitlines() == [
        "── row 1 ──",
        *(f"  column_{n}  {'x' * 40}" for n in range(3)),
        "  last      1",
    ]


def test_releases(text, data) -> None:
    release = Release("rel-2", "main", "run-1", created_at=NOON, endpoints={"arrivals": Binding("late/1")})
    assert text("release", release, "late is shipped") == (
        "late is shipped: branch main publishes rel-2; arrivals answers with late/1\n"
    )
    assert "rel-2" in text("releases", [release])
    assert data("releases", [release])[0]["endpoints"]["arrivals"]["champion"] == "late/1"


STATUS = {
    "project": "flights",
    "profile": "default",
    "branch": "main",
    "release": "rel-1",
    "nodes": [
        {"name": "legs", "kind": "table", "state": "fresh", "rows": 336_771, "updated_at": "2013-12-01T12:00:00+00:00"},
        {"name": "weather", "kind": "api", "state": "failed", "error": "unreachable\n  hint: …"},
    ],
    "endpoints": [
        {
            "name": "arrivals",
            "model": "late",
            "champion": "late/1",
            "challenger": None,
            "metric": "average_precision",
            "value": 0.61,
            "low": 0.6,
            "high": 0.62,
            "baseline": 0.24,
            "monitors": [
                {
                    "monitor": "performance",
                    "metric": "average_precision",
                    "judgement": "failing",
                    "text": "average precision 0.410 (0.390–0.430), below the floor of 0.45",
                    "judged_at": "2013-12-01T12:00:00+00:00",
                    "rows": 900,
                    "outcomes": 880,
                    "value": 0.41,
                    "low": 0.39,
                    "high": 0.43,
                    "floor": 0.45,
                }
            ],
        }
    ],
    "findings": [
        {"id": "fnd-1", "kind": "drift", "node": "n", "column": "c", "state": "open", "harmless": False, "summary": "s"}
    ],
    "runs": [{"id": "run-1", "status": "published", "started_at": "2013-12-01T12:00:00", "seconds": 3.2, "steps": 7}],
}


def test_status(text, data) -> None:
    status = convert(STATUS, ProjectStatus)
    shown = text("status", status)
    for words in (
        "flights  profile default  branch main",
        "2013-12-01 12:00",
        "average_precision 0.610 [0.600, 0.620]",
    ):
        assert words in shown
    judged = next(line for line in shown.splitlines() if line.startswith("performance"))
    assert judged.split(maxsplit=3)[1:3] == ["2013-12-01", "12:00"]
    assert judged.endswith("average precision 0.410 (0.390–0.430), below the floor of 0.45")
    failed = next(line for line in shown.splitlines() if line.startswith("weather"))
    assert failed.split() == ["weather", "api", "failed", "unreachable"]
    assert convert(data("status", status), ProjectStatus) == status


def test_a_node(text) -> None:
    node = RelationDetails(
        name="legs",
        kind="table",
        where="flights.py:12",
        description="One row per flight.",
        reads=["flights", "planes"],
        rows=336_771,
        schema={"origin": "string"},
        known={"origin": "scheduled_at − 30 d"},
        lineage={},
        sample=[{"origin": "JFK", "at": NOON}],
    )
    lines = text("shown", node).splitlines()
    assert lines[:2] == ["legs  table  flights.py:12", "One row per flight."]
    assert "reads  flights, planes" in lines and "rows  336,771" in lines
    assert "  origin  string" in lines and "  origin  scheduled_at − 30 d" in lines
    assert lines[-1].split() == ["JFK", "2013-12-01", "12:00"]


def test_an_error_says_what_where_and_hint_on_standard_error(capsys) -> None:
    error = SourceUnreachable("weather [api] is down", where="flights.py:9", expected="200", hint="python world.py")
    output(json=False).error(error)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split(maxsplit=1) for line in shown.err.splitlines()] == [
        ["SourceUnreachable:", "weather [api] is down"],
        ["where", "flights.py:9"],
        ["expected", "200"],
        ["hint", "python world.py"],
    ]
    output(json=True).error(error)
    assert json.loads(capsys.readouterr().err)["error"] == {
        "kind": "SourceUnreachable",
        "what": "weather [api] is down",
        "where": "flights.py:9",
        "expected": "200",
        "hint": "python world.py",
    }
