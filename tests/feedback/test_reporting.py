"""What findings say, and when they are closed."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from mainstem.feedback import reporting
from mainstem.feedback.attribution import Labelled
from mainstem.feedback.case import Case
from mainstem.feedback.changes import Change
from mainstem.feedback.units import CONVERSIONS, Match
from mainstem.graph.dag import Dag
from mainstem.models.metrics import metric
from mainstem.monitoring.drift import Sample
from mainstem.nodes.definition import Graph
from mainstem.nodes.findings import Finding, Recovery, Rule
from mainstem.nodes.records import Measure
from mainstem.nodes.verbs import Rescale

SINCE = datetime(2013, 12, 1, 5, 11, tzinfo=UTC)
RULE = Rule("departures", Rescale("dep_delay", 1 / 60), "TRUE", "TRUE")
Y = np.array([0.0, 1, 0, 1, 1, 0])


def case():
    rows = Labelled(Sample({}, np.arange(6)), Y)
    return Case(
        rows, np.array([0.1, 0.9, 0.2, 0.8, 0.7, 0.3]), rows, rows.inputs, (), lambda c: Y, metric("average_precision")
    )


def finding(harmless=False, promised=(0.10, 0.08, 0.12)):
    before = Recovery(0.5, 0.6, Measure(*promised, 1000))
    return Finding(
        "F1",
        "source_change",
        "departures",
        "dep_delay",
        "",
        1000,
        "arrivals",
        "late-1",
        (SINCE, SINCE),
        (),
        "",
        harmless=harmless,
        rule=RULE,
        promised=before,
        state="accepted",
    )


@pytest.mark.parametrize(
    ("harmless", "realised", "state"),
    [
        (False, (0.10, 0.08, 0.12), "verified"),
        (False, (0.07, 0.05, 0.09), "verified"),
        (False, (0.03, 0.01, 0.05), "failed"),
        (False, (0.00, -0.02, 0.02), "failed"),
        (True, (0.10, -0.01, 0.21), "verified"),
    ],
)
def test_a_finding_is_verified_if_what_was_promised_came_true(harmless, realised, state):
    recovery = Recovery(0.5, 0.5 + realised[0], Measure(*realised, 1000))
    closed = reporting.verified(finding(harmless), recovery)
    assert closed.state == state and closed.realised == recovery


@pytest.mark.parametrize(
    ("measure", "harmless", "text"),
    [
        ((0.11, 0.09, 0.13), False, "it costs 0.110 (0.090 to 0.130) of average precision"),
        (
            (0.001, -0.002, 0.004),
            True,
            "its cost is negligible: 0.001 (-0.002 to 0.004) of average precision",
        ),
        (
            (0.02, -0.05, 0.09),
            True,
            "no cost was measured: 0.020 (-0.050 to 0.090) of average precision; a cost below 0.100",
        ),
    ],
)
def test_a_cost_is_told_as_it_is_known(measure, harmless, text):
    assert reporting.cost(case(), Measure(*measure, 1000), harmless).startswith(text)


def test_a_change_is_told_with_its_dates():
    seconds = next(c for c in CONVERSIONS if c.name == "minutes → seconds")
    change = Change("departures", "dep_delay", Match(seconds, 0.5, 0.1, 0.1), SINCE, None, RULE, -2, -120, 10)
    text = "departures.dep_delay is multiplied by 60, as from minutes to seconds, since 2013-12-01 05:11 UTC"
    assert reporting.said(change) == text
    assert reporting.said(replace(change, until=SINCE)) == f"{text} until 2013-12-01 05:11 UTC"


def test_the_way_back_is_the_shortest():
    dag = Dag(
        {
            "late": ["legs", "airport"],
            "airport": ["departures"],
            "departures": ["past"],
            "past": ["flights"],
            "legs": ["flights"],
            "flights": [],
        }
    )
    graph = Graph({}, dag)
    assert reporting.way(graph, "late", "departures") == ("airport",)
    assert reporting.way(graph, "late", "flights") == ("legs",)
    assert reporting.way(graph, "late", "nowhere") == ()
