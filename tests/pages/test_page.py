from __future__ import annotations

import copy
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from mainstem.nodes.status import ProjectStatus
from mainstem.pages import page


def render(status: dict[str, Any]) -> str:
    return page.render(msgspec.convert(status, ProjectStatus))


def mark(status: dict[str, Any]) -> str:
    return page.mark(msgspec.convert(status, ProjectStatus))


VOID = {"meta", "link", "br", "img", "input"}


class Balanced(HTMLParser):
    """Raises unless every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_node_is_drawn_with_its_state(status: dict[str, Any]) -> None:
    html = render(status)
    for node in status["nodes"]:
        assert f'<g class="node {node["state"]}"' in html
        assert f'data-name="{node["name"]}"' in html
    assert "11 fresh" in html and "1 stale" in html and "1 failed" in html
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []


def test_it_needs_nothing_from_elsewhere(status: dict[str, Any]) -> None:
    html = render(status)
    assert "http://" not in html and "https://" not in html and "@import" not in html


def test_names_and_errors_are_text_not_markup(status: dict[str, Any]) -> None:
    evil = "</script><script>alert(1)</script>"
    status["nodes"][0]["name"] = evil
    status["nodes"][4]["inputs"] = [evil]
    status["findings"][0]["summary"] = evil
    html = render(status)
    assert "<script>alert" not in html
    assert "look at &lt;origin&gt;" in html


def test_what_costs_nothing_stands_behind_what_does(status: dict[str, Any]) -> None:
    html = render(status)
    assert html.index("<code>finding-1</code>") < html.index("<code>finding-2</code>")
    assert "costs 0.112 average precision" in html


def test_an_empty_project_says_what_to_do(status: dict[str, Any]) -> None:
    html = render({**status, "release": None, "nodes": [], "endpoints": [], "findings": [], "runs": []})
    assert "mainstem run" in html
    status["endpoints"][0] |= {"champion": None, "challenger": None}
    assert "no champion yet: <code>mainstem promote late</code>" in render(status)


@pytest.mark.parametrize("change", ["release", "state", "finding", "run"])
def test_the_mark_changes_with_what_is_shown(status: dict[str, Any], change: str) -> None:
    before = mark(copy.deepcopy(status))
    if change == "release":
        status["release"] = "rel-2"
    elif change == "state":
        status["nodes"][0]["state"] = "stale"
    elif change == "finding":
        status["findings"][0]["state"] = "accepted"
    else:
        status["runs"][0]["status"] = "running"
    assert mark(status) != before


@pytest.mark.parametrize(
    ("judgement", "style"), [("failing", "small failing"), ("fine", "small"), ("not enough rows", "small dim")]
)
def test_the_last_judgement_of_each_monitor_is_shown(status: dict[str, Any], judgement: str, style: str) -> None:
    told = {"judged_at": "2013-12-01T12:00:00+00:00", "rows": 900, "outcomes": 0, "text": "drift in <dep_delay>"}
    status["endpoints"][0]["monitors"] = [{"monitor": "drift", "metric": "", "judgement": judgement, **told}]
    assert f'<div class="{style}">drift in &lt;dep_delay&gt;</div>' in render(status)


def test_each_monitor_has_a_chart_of_its_history(status: dict[str, Any]) -> None:
    html = render(status)
    assert html.count('<figure class="history">') == 2 + 4, "the value was never judged"
    assert html.count('class="dot bad"') == 5
    assert 'aria-label="arrivals: performance average_precision over time"' in html and "mark-line" in html
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []


def test_a_page_never_agrees_beside_a_failing_verdict(status: dict[str, Any]) -> None:
    endpoint = status["endpoints"][0]
    status["findings"] = []
    told = render(status)
    assert "monitors of arrivals are failing" in told
    endpoint["monitors"][0]["judgement"] = "fine"
    fine = render(status)
    endpoint["monitors"] = []
    silent = render(status)
    assert "no monitor is failing" in fine and "nothing was judged yet" in silent
    for html in (told, fine, silent):
        assert "agree" not in html
    assert "failing" not in silent.partition("<h2>Findings</h2>")[2].partition("</section>")[0]


def test_a_new_judgement_changes_the_mark(status: dict[str, Any]) -> None:
    before = mark(status)
    status["endpoints"][0]["monitors"][0]["judgement"] = "fine"
    assert mark(status) != before


def test_distributions_have_charts(status: dict[str, Any]) -> None:
    html = render(status)
    for title in ("scores by day", "scores of 2013-12-07", "decisions by day", "nulls and unknown entities by day"):
        assert f'aria-label="{title}"' in html
    assert "2013-12-07: &lt;block&gt; 17.0% (17)" in html and "<block>" not in html
    assert "2013-12-07: unknown entity 7.0%" in html and "2013-12-07: dep_delay 35.0%" in html
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    status["endpoints"][0]["days"] = status["endpoints"][0]["days"][:1]
    assert "scores by day" not in render(status), "one day is no course"
