"""From a CSV file to predictions, by commands alone: `init table`, `run`, `show`, `predict`."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from mainstem.cli.app import run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, header: list[str], rows: list[list[object]], delimiter: str = ",") -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def customers(count: int = 120) -> list[list[object]]:
    random.seed(2)
    found: list[list[object]] = []
    for n in range(count):
        age, plan = random.randrange(18, 80), random.choice(["basic", "pro"])
        left = random.random() < (0.8 if plan == "basic" and age < 40 else 0.2)
        name, country = f"Customer {n}", "DE"
        found.append([f"c{n}", name, "NA" if n % 10 == 3 else age, plan, country, "yes" if left else "no"])
    return found


HEADER = ["customer_id", "name", "age", "plan", "country", "left"]


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_project_is_written_that_runs_and_predicts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "churn.csv", HEADER, customers())
    assert run(["init", "table", "--csv", "churn.csv", "--target", "left", "--json"]) == 0
    made = said(capsys)
    assert made["directory"] == "churn" and (made["model"], made["endpoint"]) == ("left_model", "left")
    assert made["said"] == [
        'task: binary, predicts _["left"] == "yes"',
        "key: `customer_id`",
        "left out: `name` (differs in every row), `country` (constant)",
        "missing values: NA, N/A, null and - in columns of numbers",
    ]
    code = (here / "churn" / "left_model.py").read_text()
    assert '        "age",  # int64, ' in code and '        # "name": differs in every row' in code
    assert run(["run", "-C", "churn"]) == 0
    assert run(["show", "-C", "churn", "left_model", "--json"]) == 0
    capsys.readouterr()
    assert run(["predict", "-C", "churn", "left_model", "age=25", "plan=basic", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["age"] == "25" and 0.5 < row["score"] < 1
    assert run(["predict", "-C", "churn", "left_model", "--rows", "churn.csv", "--out", "scored.csv"]) == 0
    with (here / "scored.csv").open(newline="") as file:
        scored = list(csv.DictReader(file))
    assert len(scored) == 120 and list(scored[0]) == [*HEADER, "score"], "what is not read is kept"


def test_an_endpoint_predicts_with_its_champion(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "churn.csv", HEADER, customers())
    assert run(["init", "table", "mine", "--csv", "churn.csv", "--target", "left"]) == 0
    assert run(["run", "-C", "mine"]) == 0
    capsys.readouterr()
    assert run(["predict", "-C", "mine", "left", "age=25", "plan=basic"]) == 1
    assert "has no champion yet" in capsys.readouterr().err
    assert run(["promote", "-C", "mine", "left_model"]) == 0
    assert run(["predict", "-C", "mine", "left", "age=", "plan=basic"]) == 0


def test_without_a_key_each_row_gets_its_number(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[list[object]] = [[n % 7, n % 3, f"{(n % 7) * 10},5"] for n in range(80)]
    write(here / "Mixed Numbers.csv", ["a", "b", "Sale Price"], rows, ";")
    assert run(["init", "table", "new", "--csv", "Mixed Numbers.csv", "--target", "a", "--json"]) == 0
    assert "key: `row`, the number of the row: no column differs in every row" in str(said(capsys)["said"])
    copied = (here / "new" / "data" / "Mixed Numbers.csv").read_text().splitlines()
    assert copied[:2] == ["row;a;b;Sale Price", "1;0;0;0,5"]
    assert run(["run", "-C", "new"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["init", "table"], 2, "requires --csv FILE and --target COLUMN"),
        (["init", "table", "--csv", "gone.csv", "--target", "x"], 1, "the file does not exist"),
        (["init", "table", "--csv", "churn.csv", "--target", "lft"], 2, "did you mean 'left'?"),
        (["init", "table", "--csv", "churn.csv", "--target", "country"], 1, "the target is constant"),
        (["init", "table", "--csv", "churn.csv", "--target", "left", "--task", "binray"], 2, "did you mean 'binary'?"),
        (["init", "shop", "there", "--csv", "churn.csv"], 2, "require the template `table`"),
        (["init", "shop"], 2, "the directory is missing"),
    ],
)
def test_what_cannot_be_written(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    write(here / "churn.csv", HEADER, customers(10))
    assert run(arguments) == code
    assert told in capsys.readouterr().err
    assert {path.name for path in here.iterdir()} == {"churn.csv"}


def test_a_row_that_does_not_fit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "churn.csv", HEADER, customers())
    assert run(["init", "table", "--csv", "churn.csv", "--target", "left"]) == 0
    assert run(["run", "-C", "churn"]) == 0
    for fields, told in (
        (["age=25", "pan=basic"], "did you mean 'pan'?"),
        (["age=old", "plan=basic"], "the field 'age' has the wrong type"),
        (["age"], "a field requires a value"),
    ):
        capsys.readouterr()
        assert run(["predict", "-C", "churn", "left_model", *fields]) == 2
        assert told in capsys.readouterr().err


def test_the_server_answers_for_a_table(here: Path, free_port: Callable[[], int]) -> None:
    write(here / "churn.csv", HEADER, customers())
    assert run(["init", "table", "--csv", "churn.csv", "--target", "left"]) == 0
    assert run(["run", "-C", "churn"]) == 0
    assert run(["promote", "-C", "churn", "left_model"]) == 0
    url, command = (
        f"http://127.0.0.1:{free_port()}",
        [sys.executable, "-m", "mainstem", "serve", "-C", "churn", "--port"],
    )
    with subprocess.Popen([*command, url.rsplit(":")[-1]], stdout=subprocess.DEVNULL) as server:
        try:
            while not answers(f"{url}/ready"):
                assert server.poll() is None
                time.sleep(0.05)
            asked = json.dumps({"rows": [{"customer_id": "c1", "age": 25, "plan": "basic"}]}).encode()
            with urlopen(Request(f"{url}/predict/left", asked, {"Content-Type": "application/json"})) as answer:
                (prediction,) = json.loads(answer.read())["predictions"]
        finally:
            server.terminate()
    assert 0.5 < prediction["score"] < 1


def answers(url: str) -> bool:
    try:
        with urlopen(url):
            return True
    except OSError:
        return False
