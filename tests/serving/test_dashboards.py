"""What is shipped for Grafana and Prometheus reads metrics and labels that the server has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from mainstem.cli.app import app
from mainstem.serving.dashboards import FILES, SHIPPED
from mainstem.serving.gauges import GAUGES
from mainstem.serving.metrics import Metrics

DOCS = Path(__file__).parents[2] / "docs"
ADDED = {"instance", "job", "le"}
"""Labels that Prometheus adds, and those of histograms."""


def known() -> dict[str, set[str]]:
    """The labels of each sample that a scrape may have, by name."""
    found = {name: set(labels) for name, (_told, labels) in GAUGES.items()}
    for metric in set(Metrics().registry._collector_to_names):  # type: ignore[attr-defined]
        labels = set(getattr(metric, "_labelnames", ()))
        for family in metric.collect():
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
            found |= {family.name + suffix: labels for suffix in suffixes}
    return found


def board() -> Any:
    return json.loads((SHIPPED / "grafana.json").read_text())


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((SHIPPED / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every query with the text that shows its labels."""
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"], target["legendFormat"]
    for rule in rules():
        yield rule["expr"], " ".join(rule["annotations"].values())


@pytest.mark.parametrize(("query", "shown"), list(expressions()))
def test_a_query_reads_what_the_server_has(query: str, shown: str) -> None:
    metrics = known()
    names = set(re.findall(r"(?:mainstem|process)_\w+", query))
    assert names and names <= metrics.keys()
    labels = set.union(*(metrics[name] for name in names)) | ADDED
    for name, matched in re.findall(r"(mainstem_\w+)\{([^}]*)\}", query):
        assert set(re.findall(r"(\w+)[=!]", matched)) <= metrics[name]
    kept = [set(part.replace(" ", "").split(",")) for part in re.findall(r"by \(([^)]*)\)", query)]
    assert all(part <= labels for part in kept)
    # An aggregation has the labels that it keeps, and no others.
    left = set.union(*kept) if kept else set() if query.startswith("sum(") else labels
    assert set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", shown)) <= left
    assert query.count("(") == query.count(")") and query.count("{") == query.count("}")
    for counter in re.findall(r"mainstem_\w+_total", query):  # a counter alone says only how long the server has run
        assert re.search(rf"(?:rate|increase)\({counter}(?:\{{[^}}]*\}})?\[\d+m\]\)", query)


def test_every_finding_of_a_monitor_is_on_the_dashboard_or_has_an_alert() -> None:
    read = {name for query, _ in expressions() for name in re.findall(r"mainstem_\w+", query)}
    assert set(GAUGES) - read == {
        "mainstem_monitor_rows",
        "mainstem_monitor_outcomes",
        "mainstem_input_drifted",  # `mainstem_monitor_failing` of drift
        "mainstem_mature_day_timestamp_seconds",
    }


def test_panels_have_numbers_and_places_of_their_own() -> None:
    panels = board()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set[tuple[int, int]]()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells


def test_every_alert_is_documented() -> None:
    names = [rule["alert"] for rule in rules()]
    assert set(re.findall(r"`(Mainstem\w+)`", (DOCS / "commands" / "dashboard.md").read_text())) == set(names)
    assert len(set(names)) == len(names) and {rule["labels"]["severity"] for rule in rules()} == {"warning", "critical"}


def test_the_files_are_written_and_a_changed_one_is_kept(tmp_path: Path) -> None:
    to = tmp_path / "deploy" / "monitoring"
    made = CliRunner().invoke(app, ["dashboard", str(to), "--json"])
    assert made.exit_code == 0
    assert json.loads(made.stdout) == {"files": [str(to / name) for name in FILES]}
    assert {path.name: path.read_bytes() for path in to.iterdir()} == {n: (SHIPPED / n).read_bytes() for n in FILES}
    assert CliRunner().invoke(app, ["dashboard", str(to)]).exit_code == 0
    (to / "alerts.yml").write_text("groups: []\n")
    (to / "grafana.json").unlink()
    refused = CliRunner().invoke(app, ["dashboard", str(to)])
    assert refused.exit_code == 2 and "the file exists and is another one" in refused.stderr
    assert (to / "alerts.yml").read_text() == "groups: []\n" and not (to / "grafana.json").exists()
