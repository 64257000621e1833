"""From a CSV file to predictions, by commands alone: `init table`, `run`, `show`, `predict`."""

from __future__ import annotations

import csv
import datetime as dt
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

import mainstem as ms
from mainstem.cli.app import run
from mainstem.project.csv.look import look


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


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
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
        "missing values: NA in `age`",
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


def test_a_table_with_a_column_row_gets_another_key(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random.seed(1)
    rows: list[list[object]] = [[n % 7 + 1, "ab"[n % 2], 10 * (n % 7) + random.random()] for n in range(80)]
    write(here / "seats.csv", ["row", "seat", "price"], rows)
    assert run(["init", "table", "--csv", "seats.csv", "--target", "price"]) == 0
    code = (here / "seats" / "price_model.py").read_text()
    assert 'key="row_number"' in code and '"row",' in code
    assert (here / "seats" / "data" / "seats.csv").read_text().startswith("row_number,row,seat,price")
    assert run(["run", "-C", "seats"]) == 0
    capsys.readouterr()
    assert run(["show", "-C", "seats", "price_model", "--json"]) == 0
    first = said(capsys)["card"]["top_inputs"][0]
    assert first["input"] == "row" and first["share"] > 0.9


def test_a_version_is_reported_and_its_predictions_explained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "churn.csv", HEADER, customers())
    assert run(["init", "table", "--csv", "churn.csv", "--target", "left"]) == 0
    assert run(["run", "-C", "churn"]) == 0
    capsys.readouterr()
    assert run(["show", "-C", "churn", "left_model", "--html", "a.html", "--markdown", "a.md"]) == 0
    assert capsys.readouterr().out == "wrote a.html\nwrote a.md\n"
    assert (here / "a.html").read_text().startswith("<!doctype html>")
    assert (here / "a.md").read_text().startswith("# left_model-1\n")
    assert run(["show", "-C", "churn", "left_model-1", "--json"]) == 0
    assert said(capsys)["card"]["evaluated"]["rows"] == 120
    assert run(["show", "-C", "churn", "churn", "--html", "b.html"]) == 2
    assert "unknown model or version 'churn'" in capsys.readouterr().err and not (here / "b.html").exists()
    assert run(["explain", "-C", "churn", "left_model", "age=25", "plan=basic"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("left_model-1  score 0.") and "plan" in text and "█" in text
    assert run(["explain", "-C", "churn", "left_model", "--row", '{"age": 25, "plan": "basic"}', "--json"]) == 0
    found = said(capsys)
    total = found["base"] + sum(each["effect"] for each in found["contributions"])
    assert total == pytest.approx(found["score"]) and f"{found['score']:.4g}" in text.splitlines()[0]
    for row in ("[1]", "{", '{"age": "old", "plan": "basic"}'):
        assert run(["explain", "-C", "churn", "left_model", "--row", row]) == 2
    assert run(["explain", "-C", "churn", "left_model", "age=25", "--row", "{}"]) == 2


def test_predictions_with_their_reasons(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "churn.csv", HEADER, customers())
    assert run(["init", "table", "--csv", "churn.csv", "--target", "left"]) == 0
    assert run(["run", "-C", "churn"]) == 0
    capsys.readouterr()
    assert run(["explain", "-C", "churn", "left_model", "age=25", "plan=basic", "--json"]) == 0
    first = said(capsys)["contributions"][0]
    assert run(["predict", "-C", "churn", "left_model", "age=25", "plan=basic", "--reasons", "1", "--json"]) == 0
    (row,) = said(capsys)["rows"]
    assert row["reasons"].startswith(f"{first['input']}={first['value']} +") and ";" not in row["reasons"]
    assert run(["predict", "-C", "churn", "left_model", "age=25", "plan=basic", "--reasons", "99"]) == 2
    assert "`reasons` is not a number of reasons" in capsys.readouterr().err


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
    assert "key: `row`, the number of the row: no column tells rows apart" in str(said(capsys)["said"])
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
        (["age=25", "pan=basic"], "there is no field 'pan': write 'plan'"),
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


def project_of(here: Path, capsys: pytest.CaptureFixture[str], file: str, target: str) -> dict[str, Any]:
    """Write and run a project of a CSV file; what was found out about the file."""
    assert run(["init", "table", "--csv", file, "--target", target, "--json"]) == 0
    made = said(capsys)
    assert run(["run", "-C", str(made["directory"])]) == 0
    capsys.readouterr()
    return made


def scores(here: Path, made: dict[str, Any], rows: str) -> list[dict[str, str]]:
    out = here / "scored.csv"
    assert run(["predict", "-C", str(made["directory"]), str(made["model"]), "--rows", rows, "--out", str(out)]) == 0
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_text_that_looks_missing_is_a_category_beside_numbers_that_are_missing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(1)
    effect = {"NA": 50.0, "EU": 0.0, "-": 20.0}
    rows: list[list[object]] = []
    for n in range(300):
        region, size = draw.choice(list(effect)), draw.randint(0, 9)
        rows.append([f"k{n}", "NA" if n % 10 == 0 else size, region, size + effect[region] + draw.random()])
    write(here / "areas.csv", ["id", "size", "region", "y"], rows)
    made = project_of(here, capsys, "areas.csv", "y")
    assert "missing values: NA in `size`" in made["said"]
    off = [abs(float(row["score"]) - float(row["y"])) for row in scores(here, made, "areas.csv")]
    assert sum(off) / len(off) < 3, "as good as in training"


def test_rows_are_read_as_the_file_that_the_model_learned_from(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(2)
    rows: list[list[object]] = [
        [f"2025-01-{1 + n % 28:02} 10:00:00", draw.randint(0, 9), n % 7, f"l{n % 3}", n % 3 == 0] for n in range(90)
    ]
    write(here / "calls [1].csv", ["last call", "n", "score", "note", "bought"], rows, delimiter=";")
    made = project_of(here, capsys, "calls [1].csv", "bought")
    assert any(str(each).startswith("key: `row`") for each in made["said"])
    found = scores(here, made, "calls [1].csv")
    assert [row["score"] for row in found] == [str(n % 7) for n in range(90)], "the user's own column"
    assert all(0 <= float(row["predicted score"]) <= 1 for row in found)
    predict = ["predict", "-C", str(made["directory"]), str(made["model"]), "--rows", "calls [1].csv"]
    assert run([*predict, "n=3"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    (here / "calls [1].csv").write_text("last call;n;score;note\n2025-01-01 10:00:00;1;2\n")
    assert run(predict) == 2
    assert "a row has other columns than the header" in capsys.readouterr().err
    (here / "calls [1].csv").write_bytes("last call;n;score;note\n2025-01-01 10:00:00;1.0;2;ü\n".encode("cp1252"))
    assert run(predict) == 2
    assert "the rows cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "first", "key"),
    [
        (["city_pop", "rain"], [7, 1, 9, 4], None),
        (["number_of", "rain"], [1, 2, 3, 4], "number_of"),
        (["rain", "PassengerId"], [5, 5, 1, 1], "PassengerId"),
        (["rain", "Customer ID"], [5, 5, 1, 1], "Customer ID"),
        (["rain", "paid"], [5, 5, 1, 1], None),
    ],
)
def test_the_key_is_called_so_or_numbers_the_rows(here: Path, header: list[str], first: list[int], key: str) -> None:
    write(here / "a.csv", header, [[one, 100 * n] for n, one in enumerate(first)])
    assert look(here / "a.csv").key == key


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("id;a desc, m2;c;y\n1;x, y;2;3\n2;z;2;3\n", ";"),
        ("a,b\n1;5,2\n", ","),
        ("a\tb\n1\t2\n", "\t"),
        ("a;b\n1,5;2\n\n2,5;4\n", ";"),
    ],
)
def test_the_delimiter_divides_all_lines_alike(here: Path, text: str, delimiter: str) -> None:
    (here / "a.csv").write_text(text)
    assert look(here / "a.csv").options.get("delim", ",") == delimiter


def test_a_task_that_the_target_does_not_have_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "a.csv", ["x", "kind", "size"], [[n, f"k{n % 3}", n] for n in range(60)])
    for task, target in (("binary", "kind"), ("regression", "kind")):
        assert run(["init", "table", "--csv", "a.csv", "--target", target, "--task", task]) == 1
        assert f"the target is not one of the task '{task}'" in capsys.readouterr().err


def test_a_table_of_sentences_learns_their_words(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random.seed(3)
    filler = ["the", "parcel", "came", "on", "monday", "and", "box", "was", "blue", "small", "with", "paper"]
    rows: list[list[object]] = []
    for n in range(240):
        good = n % 2 == 0
        telling = random.choice(["great", "lovely"] if good else ["broken", "awful"])
        words = [*random.sample(filler, 7), telling, str(n)]
        rows.append([" ".join(random.sample(words, len(words))), "yes" if good else "no"])
    write(here / "reviews.csv", ["review", "liked"], rows)
    assert run(["init", "table", "--csv", "reviews.csv", "--target", "liked", "--json"]) == 0
    told = str(said(capsys)["said"])
    assert "key: `row`" in told and "left out" not in told
    assert run(["run", "-C", "reviews"]) == 0
    capsys.readouterr()
    assert run(["predict", "liked_model", "review=a lovely small thing", "-C", "reviews", "--json"]) == 0
    good = json.loads(capsys.readouterr().out)
    assert run(["predict", "liked_model", "review=it was broken and awful", "-C", "reviews", "--json"]) == 0
    bad = json.loads(capsys.readouterr().out)
    assert good["rows"][0]["score"] > 0.9 > 0.1 > bad["rows"][0]["score"]


NUMBERS = 'clean=[ms.clean.parse_number("x", locales="{}")] of a table reads them'


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        (["1,100", "2,300", "7"], f"numbers with a comma before three digits: {NUMBERS.format('en')} if it divides"),
        (["1,5", "1.200,5", "7", "some"], f"numbers with a decimal comma: {NUMBERS.format('de')}"),
        (["$10", "$1,200", "$7"], f"amounts of money: {NUMBERS.format('en')}"),
        (["1/2/24", "3/4/24", "5/6/24"], '"%m/%d/%y" if the month does'),
        (["12:30", "23:05", "0:01"], "times of day: a table of the rows can compute minutes"),
        (["1", "2", "unknown", "5"], "numbers but for 'unknown' (2 rows); options={'nulls': {'x': ['unknown']}}"),
    ],
)
def test_texts_that_may_be_meant_as_numbers_or_dates_are_named(
    here: Path, capsys: pytest.CaptureFixture[str], texts: list[str], seen: str
) -> None:
    write(here / "a.csv", ["k_id", "x", "y"], [[f"k{n}", text, n % 3] for n, text in enumerate(texts * 2)], ";")
    assert run(["init", "table", "made", "--csv", "a.csv", "--target", "y", "--json"]) == 0
    (told,) = [each for each in said(capsys)["said"] if "read as text" in each]
    assert told.startswith("`x` is read as text: ") and seen in told


@pytest.mark.parametrize(
    ("texts", "verb", "read"),
    [
        (["1,100", "2,300.5", "7"], 'parse_number("x", locales="en")', [1100.0, 2300.5, 7.0]),
        (["1,5", "1.200,5", "NA"], 'parse_number("x", locales="de")', [1.5, 1200.5, None]),
        (["$10", "$1,200.50", "$7"], 'parse_number("x", locales="en")', [10.0, 1200.5, 7.0]),
        (["10,50 €", "7 €", "3 €"], 'parse_number("x", locales="de")', [10.5, 7.0, 3.0]),
        (["5%", "7.5 %", "9%"], 'parse_number("x", locales="en")', [0.05, 0.075, 0.09]),
        (["21.02.2024", "03.02.2024", "9.9.2024"], 'parse_date("x", "%d.%m.%Y")', ["02-21", "02-03", "09-09"]),
        (["1/22/24", "3/4/24", "5/6/24"], 'parse_date("x", "%m/%d/%y")', ["01-22", "03-04", "05-06"]),
        (["2024/1/2", "2024/3/4", "2024/3/5"], 'parse_date("x", "%Y/%m/%d")', ["01-02", "03-04", "03-05"]),
    ],
)
def test_texts_that_are_numbers_or_dates_are_read_by_a_table(
    here: Path, capsys: pytest.CaptureFixture[str], texts: list[str], verb: str, read: list[object]
) -> None:
    write(here / "a.csv", ["k_id", "x", "y"], [[f"k{n}", text, n % 3] for n, text in enumerate(texts * 2)], ";")
    assert run(["init", "table", "made", "--csv", "a.csv", "--target", "y", "--json"]) == 0
    assert any(str(each).startswith("read by the table `a_read`: `x` (") for each in said(capsys)["said"])
    assert f"ms.clean.{verb}," in (here / "made" / "y_model.py").read_text()
    with ms.load(here / "made") as project:
        project.run("+a_read")
        found = project.table("a_read").to_pyarrow().sort_by("k_id")["x"].to_pylist()
    assert [f"{each:%m-%d}" if isinstance(each, dt.date) else each for each in found[:3]] == read


def test_a_column_of_which_one_text_is_no_number_stays_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond the first rows, too: the run would fail there."""
    rows: list[list[object]] = [[f"k{n}", "ca. 7" if n == 150 else f"{n % 40},5", n % 3] for n in range(160)]
    write(here / "a.csv", ["k_id", "x", "y"], rows, ";")
    made = project_of(here, capsys, "a.csv", "y")
    (told,) = [each for each in made["said"] if "`x`" in each]
    assert told.startswith("`x` is read as text: numbers with a decimal comma: clean=")


def test_a_german_file_is_learned_from_and_predicted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(4)
    rows: list[list[object]] = []
    for n in range(120):
        area, day = round(draw.uniform(30, 200), 1), f"{1 + n % 28:02}.{1 + n % 12:02}.2023"
        price = f"{area * 3000 + draw.gauss(0, 5000):.2f}".replace(".", ",")
        rows.append([f"{area}".replace(".", ","), draw.choice(["schön", "alt"]), day, price])
    write(here / "haus.csv", ["Fläche", "Art", "verkauft", "Preis €"], rows, ";")
    (here / "haus.csv").write_bytes((here / "haus.csv").read_text(encoding="utf-8").encode("cp1252"))
    made = project_of(here, capsys, "haus.csv", "Preis €")
    told = made["said"]
    assert "task: regression, float64" in told and "encoding: cp1252; the copy in data/ is in UTF-8" in told
    assert any("latest rows by `verkauft`" in str(each) for each in told)
    (here / "new.csv").write_text("Fläche;Art;verkauft\n100,0;alt;03.04.2023\n", encoding="utf-8")
    (row,) = scores(here, made, "new.csv")
    assert 270_000 < float(row["score"]) < 330_000


def test_copies_of_rows_are_told_and_hide_no_key(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[list[object]] = [[n, n % 7, "2024-05-01" if n % 2 else "", n % 2] for n in range(60)]
    write(here / "a.csv", ["id", "x", "closed_on", "left"], [*rows, *rows[:10]])
    assert run(["init", "table", "made", "--csv", "a.csv", "--target", "left", "--json"]) == 0
    told = said(capsys)["said"]
    assert "copies: 10 rows are equal to an earlier one, and count as often as they occur" in told
    assert "left out: `id` (tells rows apart, but for copies of rows)" in told
    code = (here / "made" / "left_model.py").read_text()
    assert '"closed_on",  # date, 1 values, 35 missing' in code, "one value or none is no constant"


def test_grades_of_queries_may_be_meant_for_a_ranking(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(here / "a.csv", ["query_id", "x", "grade"], [[n // 8, n % 13, n % 3] for n in range(80)])
    assert run(["init", "table", "made", "--csv", "a.csv", "--target", "grade", "--json"]) == 0
    (told,) = [str(each) for each in said(capsys)["said"] if "ranking" in str(each)]
    assert 'query="query_id"' in told


def test_a_file_that_is_no_text_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for raw in (b"a,b\n\0\x81,2\n", "a,b\n1,2\n".encode("utf-16")[:-1], "a\0,b\n".encode("utf-16")):
        (here / "a.csv").write_bytes(raw)
        assert run(["init", "table", "--csv", "a.csv", "--target", "b"]) == 1
        assert "the file cannot be read as text" in capsys.readouterr().err


def test_codes_and_categories_are_texts_without_a_word(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[f"k{n}", f"0{n % 7}", "red" if n % 2 else "NA", n % 3] for n in range(20)]
    write(here / "a.csv", ["k_id", "zip", "colour", "y"], rows)  # type: ignore[arg-type]
    assert run(["init", "table", "made", "--csv", "a.csv", "--target", "y", "--json"]) == 0
    assert said(capsys)["said"] == ["task: regression, int64", "key: `k_id`"]


def test_texts_for_missing_values_are_told_in_any_case_and_with_spaces(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["1", " na ", "Null", "2.5", "--", "  ", "3"]
    write(here / "a.csv", ["k_id", "x", "y"], [[f"k{n}", text, n % 3] for n, text in enumerate(texts)])
    found = look(here / "a.csv")["x"]
    assert (found.type, found.missing, found.nulls) == ("float64", 4, ("", "--", "Null", "na"))
    assert run(["init", "table", "made", "--csv", "a.csv", "--target", "y", "--json"]) == 0
    assert "missing values: spaces, --, Null, na in `x`" in said(capsys)["said"]
    assert run(["run", "-C", "made", "-s", "a"]) == 0
    assert "4 missing values in x: spaces, --, Null, na" in capsys.readouterr().out
