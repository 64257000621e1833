"""Fraud, pricing and recommendation, from their templates: run, ship, serve, live some days again, judge."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mainstem.cli.templates import HOME


@dataclass(frozen=True)
class Use:
    """A template: what lays out its data, its model and endpoint, and a request."""

    template: str
    world: str
    model: str
    endpoint: str
    request: dict[str, Any]


USES = [
    Use(
        "fraud",
        "bank.py",
        "fraud",
        "authorise",
        {
            "payment_id": "x1",
            "card": "c0007",
            "merchant": "m005",
            "category": "travel",
            "country": "PL",
            "amount": 950.0,
            "paid_at": "2025-06-04T12:00:00Z",
        },
    ),
    Use(
        "pricing",
        "market.py",
        "demand",
        "quote",
        {
            "offer_id": "x",
            "product": "p03",
            "store": "east",
            "rival": 5.0,
            "day": "2025-06-04T06:00:00Z",
            "time": "2025-06-04T06:00:00Z",
        },
    ),
    Use("recommend", "cinema.py", "like", "first_page", {"viewer": "v007", "time": "2025-06-04T18:00:00Z"}),
]


class Project:
    def __init__(self, root: Path, use: Use) -> None:
        self.root, self.use = root, use

    def mainstem(self, *arguments: str) -> str:
        return self.python("-m", "mainstem", *arguments)

    def python(self, *arguments: str) -> str:
        ended = subprocess.run([sys.executable, *arguments], cwd=self.root, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    @contextmanager
    def served(self, port: int) -> Iterator[str]:
        command = [sys.executable, "-m", "mainstem", "serve", "--port", str(port)]
        log = self.root / "serve.log"
        with log.open("w") as file, subprocess.Popen(command, cwd=self.root, stdout=file, stderr=file) as server:
            try:
                while f":{port}" not in log.read_text():
                    assert server.poll() is None, log.read_text()
                    time.sleep(0.1)
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()

    def ask(self, url: str) -> Any:
        headers = {"Content-Type": "application/json"}
        body = json.dumps(self.use.request).encode()
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}/predict/{self.use.endpoint}", body, headers), timeout=60
        ) as answer:
            return json.load(answer)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("use", USES, ids=lambda use: use.template)
def test_a_use_from_its_data_to_what_its_decisions_were_worth(
    tmp_path: Path, use: Use, free_port: Callable[[], int]
) -> None:
    project = Project(tmp_path / use.template, use)
    subprocess.run([sys.executable, "-m", "mainstem", "init", use.template, str(project.root)], check=True)
    project.python(use.world)
    run = json.loads(project.mainstem("run", "--json"))
    assert run["status"] == "published"
    project.mainstem("promote", use.model)
    with project.served(free_port()) as url:
        said = project.python("replay.py", url, "--days", "3")
        answer = project.ask(url)
    check_replayed(use, said, answer)
    if use.template == "fraud":
        project.python(use.world, "july")
    project.mainstem("run")
    status = json.loads(project.mainstem("status", "--json"))
    assert {node["state"] for node in status["nodes"] if node["name"] != use.endpoint} == {"fresh"}
    assert "0 mismatches" in project.mainstem("parity", use.endpoint)
    told = project.mainstem("status")
    assert "a decision was worth" in re.sub(r"\s+", " ", told) and "2025-06-03" in told


def check_replayed(use: Use, said: str, answer: Any) -> None:
    numbers = [int(each.replace(",", "")) for each in re.findall(r"[\d,]*\d", said)]
    match use.template:
        case "fraud":
            assert set(re.findall(r"[a-z]+", said)) == {"allow", "block", "review"}
            assert answer["decision"] in ("allow", "block", "review")
            assert len(answer["values"]) == 3 or "late" in answer["flags"]
        case "pricing":
            prices, earned, before = numbers
            assert prices == 300 and earned > 1.05 * before
            assert answer["decision"]["price"] > 0 and answer["offered"] > 20
        case "recommend":
            pages, watched, before = numbers
            assert pages > 200 and watched > before
            films = [chosen["film"] for chosen in answer["decision"]]
            assert len(films) == len(set(films)) == 10


@pytest.mark.parametrize("template", [use.template for use in USES])
def test_the_projects_own_tests_pass(tmp_path: Path, template: str) -> None:
    subprocess.run([sys.executable, "-m", "mainstem", "init", template, str(tmp_path / "made")], check=True)
    command = [sys.executable, "-m", "mainstem", "test", "-C", str(tmp_path / "made"), "--", "-q"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0 and "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_the_data_are_said_to_be_made_up() -> None:
    for use in USES:
        assert "All of it is made up" in " ".join((HOME / use.template / "README.md").read_text().split())
        assert "made up" in (HOME / use.template / use.world).read_text().split('"""')[1]
