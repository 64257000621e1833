"""The story of the shop, as `make demo PROJECT=shop` tells it, on a project from the template."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

TEMPLATE = Path(__file__).parents[2] / "src/mainstem/cli/templates/shop"


@pytest.mark.timeout(900)
def test_the_story_comes_out_as_it_should(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mainstem", "demo", str(tmp_path / "shop"), "--template", "shop", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    facts = json.loads(ended.stdout)
    assert facts["ok"] and facts["missing"] == []
    nodes = {node["name"]: node for node in facts["status"]["nodes"]}
    assert {node["state"] for node in nodes.values()} == {"fresh"}
    assert nodes["purchases"]["rows"] == 6_230 and nodes["purchases"]["quarantined"] == 137
    [retention] = facts["status"]["endpoints"]
    assert retention["low"] > retention["baseline"] + 0.1
    assert len(facts["prediction"]["predictions"]) == 3


def _company() -> Any:
    spec = importlib.util.spec_from_file_location("shop_company", TEMPLATE / "company.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shop_company"] = module
    spec.loader.exec_module(module)
    return module


def test_the_data_are_the_same_each_time_and_messy(tmp_path: Path) -> None:
    company = _company()
    written = []
    for place in ("one", "two"):
        systems = company.Systems(tmp_path / place)
        systems.lay_out()
        files = sorted((tmp_path / place / "data" / "orders").iterdir())
        written.append({file.name: file.read_text() for file in files})
    assert written[0] == written[1] and len(written[0]) == 24
    lines = [line.split(",")[0] for text in written[0].values() for line in text.splitlines()[1:]]
    assert max(Counter(lines).values()) > 1, "orders are exported twice"
    assert all(line.startswith("0") for line in lines), "codes have leading zeros"
    assert "€" in written[0]["2024-05.csv"] and "€" not in written[0]["2025-05.csv"]


def test_a_tested_shop_says_nothing_about_flights() -> None:
    for file in TEMPLATE.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            text = file.read_text().lower()
            assert not any(word in text for word in ("flight", "airport", "airline", "departure")), file
