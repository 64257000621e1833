"""`mainstem show ENDPOINT --monitors`: a sparkline and the last judgements."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from mainstem.cli.render.json import JsonOutput
from mainstem.cli.render.monitors import histories, sparkline
from mainstem.nodes.status import MonitorHistory, MonitorPoint


def point(day: int, value: float | None, judgement: str = "fine") -> MonitorPoint:
    at = f"2025-03-{day:02d}T10:00:00+00:00"
    return MonitorPoint(
        judged_at=at,
        until=at,
        version="v-1",
        judgement=judgement,
        text=f"day {day}",
        rows=1_000,
        outcomes=day,
        value=value,
    )


def history() -> MonitorHistory:
    points = [*(point(n, float(n)) for n in range(1, 9)), point(9, 9.0, "failing"), point(10, None, "not enough rows")]
    return MonitorHistory(endpoint="authorise", monitor="performance", metric="mae", floor=8.5, points=points)


def text(limit: int) -> list[str]:
    to = io.StringIO()
    console = Console(file=to, width=100)
    for each in histories([history()], limit):
        console.print(each, highlight=False)
    return to.getvalue().splitlines()


def test_the_last_judgements_and_a_line_of_the_values() -> None:
    lines = text(3)
    assert lines[0] == "performance mae  10 judgements, 1 failing, bound 8.5"
    assert lines[1] == "▁▂▃▄▅▅▆▇█  1 to 9"
    assert [line.split()[-2:] for line in lines[4:7]] == [["day", "8"], ["day", "9"], ["day", "10"]]
    assert len(text(0)) == 3


def test_a_constant_and_nothing() -> None:
    assert sparkline([point(1, 2.0), point(2, 2.0)]).startswith("▄▄")
    assert sparkline([point(1, None)]) == ""
    assert list(histories([], 5)) == ["nothing was judged yet: mainstem run judges, once there are predictions"]


def test_json_has_the_last_points(capsys: pytest.CaptureFixture[str]) -> None:
    JsonOutput().histories([history()], 2)
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["monitor"], found["floor"]) == ("performance", 8.5)
    assert [each["text"] for each in found["points"]] == ["day 9", "day 10"]
