"""The whole way, as `make demo` goes it: one telling of the story, and what must have come of it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def _told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    directory = tmp_path_factory.mktemp("demo") / "flights"
    command = [sys.executable, "-m", "mainstem", "demo", str(directory), "--json", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        try:
            facts = _read(demo)
            stayed = _status(facts["url"])
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(60)
    yield {**facts, "directory": directory, "code": demo.returncode, "stayed": stayed}


def _read(demo: subprocess.Popen[str]) -> dict[str, Any]:
    """The facts, as soon as they are told."""
    assert demo.stdout is not None and demo.stderr is not None
    said = ""
    for line in demo.stdout:
        said += line
        with suppress(json.JSONDecodeError):
            facts: dict[str, Any] = json.loads(said)
            return facts
    raise AssertionError(demo.stderr.read())


def _status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as page:
        status: int = page.status
        return status


def the_page_stays_up_until_it_is_interrupted(told: dict[str, Any]) -> None:
    assert told["stayed"] == 200


def the_story_comes_out_as_it_should(told: dict[str, Any]) -> None:
    assert told["missing"] == []
    assert told["ok"] and told["code"] == 0


def the_champion_beats_the_naive_baseline(told: dict[str, Any]) -> None:
    [arrivals] = told["status"]["endpoints"]
    assert arrivals["low"] > arrivals["baseline"]  # also if the next season differs as those before did


def an_untouched_december_is_silent_and_online_equals_offline(told: dict[str, Any]) -> None:
    assert told["untouched"] == []
    assert told["parity"]


def the_finding_names_the_source_the_column_the_cost_and_the_remedy(told: dict[str, Any]) -> None:
    finding = told["finding"]
    assert (finding["node"], finding["column"]) == ("departures", "dep_delay")
    assert finding["metric"] == "average_precision"
    assert finding["cost"]["low"] > 0 and finding["cost"]["value"] > 0.03
    assert finding["rule"]["verb"]["kind"] == "rescale"
    assert finding["rule"]["verb"]["factor"] == pytest.approx(1 / 60, rel=0.05)
    assert finding["promised"]["recovered"]["low"] > 0


def the_wind_is_a_drift_that_costs_nothing(told: dict[str, Any]) -> None:
    winds = [finding for finding in told["findings"] if finding["node"] == "weather"]
    assert winds and all(finding["harmless"] for finding in winds)
    assert "wind_speed" in {finding["column"] for finding in winds}


def the_remedy_is_in_the_project_and_verified(told: dict[str, Any]) -> None:
    assert "dep_delay" in (told["directory"] / "remedies.toml").read_text()
    verified = told["verified"]
    assert verified["state"] == "verified"
    assert verified["realised"]["recovered"]["low"] > 0
    assert verified["realised"]["after"] == pytest.approx(verified["promised"]["after"], abs=0.03)


def what_it_leaves_is_a_project_that_has_nothing_to_do(told: dict[str, Any]) -> None:
    """Every node is as the last run made it; only the last prediction is not in the lake yet."""
    assert {path.name for path in Path(told["directory"]).iterdir()} >= {"schemas.lock", "remedies.toml", "flights.py"}
    command = [sys.executable, "-m", "mainstem", "status", "--json", "-C", str(told["directory"])]
    environment = {**os.environ, "WORLD_URL": told["world"]}  # its port may be another than the template's
    left = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    states = {node["name"]: (node["state"], node["due"]) for node in left["nodes"]}
    assert states.pop("arrivals") == ("stale", "1 logged, not in the lake yet")
    assert states and set(states.values()) == {("fresh", None)}


def nothing_is_left_running(told: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(told["url"], timeout=2)


@pytest.mark.timeout(1200)
def test_the_whole_way(tmp_path_factory: pytest.TempPathFactory) -> None:
    # One test, so that the demo is told once whichever workers there are.
    with _told(tmp_path_factory) as told:
        for check in (
            the_story_comes_out_as_it_should,
            the_champion_beats_the_naive_baseline,
            an_untouched_december_is_silent_and_online_equals_offline,
            the_finding_names_the_source_the_column_the_cost_and_the_remedy,
            the_wind_is_a_drift_that_costs_nothing,
            the_remedy_is_in_the_project_and_verified,
            what_it_leaves_is_a_project_that_has_nothing_to_do,
            the_page_stays_up_until_it_is_interrupted,
            nothing_is_left_running,
        ):
            check(told)
