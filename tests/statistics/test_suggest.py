"""The code that `suggest` prints loads, and its checks hold for the data that it was suggested for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.cli.app import run
from mainstem.statistics.suggest_cleaning import date_format, number_locale

LOOK = """import mainstem as ms

raw = ms.files("raw.csv", known="always")


@ms.table(key="id")
def copy(raw):
    return raw
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["look"]\n')
    chance = random.Random(1)
    lines = ["id,code,size,price,month,note,late,city,day,amount,grade"]
    for i in range(400):
        size, price, month = chance.choice(["S", "M", '"L ""x"""']), chance.uniform(-5, 5), i % 12 + 1
        city = "BERLIN" if i % 90 == 0 else " Berlin" if i % 70 == 0 else "Berlin" if i % 3 else "Ulm"
        note = "" if i % 40 == 0 else f"n{i % 70}"
        lines.append(
            f"{i},c{i},{size},{price:.3f},{month},{note},{2 if i % 50 else 900}"
            f',{city},{i % 28 + 1}.5.2025,"{i}.000,50",{"" if i % 100 == 0 else i % 5}'
        )
    (tmp_path / "raw.csv").write_text("\n".join(lines))
    (tmp_path / "look.py").write_text(LOOK)
    return tmp_path


def test_the_printed_code_loads_and_its_checks_hold(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "-C", str(root)]) == 0
    capsys.readouterr()
    assert run(["suggest", "copy", "-C", str(root)]) == 0
    printed = capsys.readouterr().out
    for wanted in (
        'ms.not_null("code", "size", "price", "month", "late", "city", "day", "amount")',
        'ms.unique("code")',
        'ms.accepted("size", ["L \\"x\\"", "M", "S"])',
        'ms.between("price", -6.0, 6.0)',
        'ms.between("month", 1, 12)',
        'ms.anomaly("rows")',
        'ms.anomaly("nulls", "note")',
    ):
        assert f"    {wanted},  # " in printed
    assert 'between("late"' not in printed
    (root / "look.py").write_text(LOOK.replace('key="id"', f'key="id",\n{printed}'))
    with ms.load(root) as project:
        record = project.run()
        results = [result for step in record.steps for result in step.checks]
        assert len(results) >= 8
        assert all(result.passed for result in results)
        rows = project.table("copy").to_pandas()
        assert len(rows) == 400
        assert set(rows["city"]) == {"Berlin", "Ulm"}
        assert str(rows["day"].min()) == "2025-05-01"
        assert rows["amount"].max() == 399_000.5
        assert rows["grade_missing"].sum() == 4
        assert {result.label for result in results if not result.judged} == {"anomaly(rows)", "anomaly(nulls, note)"}


def test_json_has_code_and_reasons(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["run", "-C", str(root)])
    capsys.readouterr()
    assert run(["suggest", "raw", "--json", "-C", str(root)]) == 0
    assert '"code": "ms.anomaly(\\"rows\\")"' in capsys.readouterr().out
    assert run(["describe", "copy", "--html", str(root / "copy.html"), "-C", str(root)]) == 0
    assert (root / "copy.html").read_text().startswith("<!doctype html>")
    assert run(["describe", "nothing", "-C", str(root)]) == 2


@pytest.mark.parametrize(
    ("texts", "locale"),
    [
        (["1.234,50", "12"], "de"),
        (["1,234.50"], "en"),
        (["12", "7"], "en"),
        (["1.234"], None),
        (["1,5", "1.5"], None),
        ([], None),
    ],
)
def test_a_number_that_can_be_read_two_ways_is_not_guessed(texts: list[str], locale: str | None) -> None:
    assert number_locale(texts) == locale


@pytest.mark.parametrize(
    ("texts", "format"),
    [
        (["2025-01-31"], "%Y-%m-%d"),
        (["31.01.2025", "01.02.2025"], "%d.%m.%Y"),
        (["01/31/2025"], "%m/%d/%Y"),
        (["01/02/2025"], None),
        (["31/01/2025", "01/31/2025"], None),
        (["31.01.2025", "2025-01-31"], None),
        ([], None),
    ],
)
def test_a_day_that_may_be_a_month_is_not_guessed(texts: list[str], format: str | None) -> None:
    assert date_format(texts) == format
